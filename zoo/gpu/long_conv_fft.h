#pragma once

#include <cstdint>

#include "zoo/cpu/causal_conv.h"
#include "zoo/gpu/stream.h"

// The long convolution by Fourier transforms: sequences and filter are padded with zeros to N >= 2T - 1, the smallest
// power of two, so that nothing comes round to a time where it does not belong; their coefficients are multiplied.

namespace zoo::gpu {

/// Operations of the convolution of one batch forward.
struct LongConvCost {
  double flops = 0;
  double bytes = 0;  ///< to and from device memory at most: caches spare some
};
/// By the definition: T (T + 1) FLOPs for each channel of a sequence, and x and y.
LongConvCost long_conv_definition_cost(const cpu::LongConvSizes& sizes);
/// By transforms: one for each channel of the filter, two for each of a sequence, of 2.5 N log2 N FLOPs each, which
/// read and write their N numbers once (up to 2^14, which a block's shared memory holds) or twice; N / 2 products of
/// complex numbers; and the copies to and from rows of N.
LongConvCost long_conv_fft_cost(const cpu::LongConvSizes& sizes);
/// Whether transforms do less work, a byte that is moved counted as the 20 FLOPs that an H100 does meanwhile (66.9
/// TFLOP/s and 3.35 TB/s); false where this build has no transforms.
bool long_conv_by_fft(const cpu::LongConvSizes& sizes);

/// How the work is cut: so many channels of so many sequences at a time.
struct LongConvBlocks {
  int length = 0;  ///< N
  int channels = 0;
  int sequences = 0;
};
/// The largest blocks whose coefficients are at most `most_floats`, but at least one channel of one sequence. Sizes
/// must be above 0. Throws Error for those beyond 2147483647.
LongConvBlocks long_conv_blocks(const cpu::LongConvSizes& sizes, bool backward, std::int64_t most_floats);
/// As many floats as half of the device's L2 cache holds: what one kernel leaves, the next finds there.
std::int64_t long_conv_most_floats();

/// Floats of device memory for the coefficients of a block, and for the transforms.
std::int64_t long_conv_fft_workspace(const cpu::LongConvSizes& sizes, const LongConvBlocks& blocks, bool backward);
/// As long_conv_forward and long_conv_backward (long_conv.h). The roundings of a channel are relative to its largest
/// numbers, not to each; an infinite number or NaN spoils all of its sequence's channel.
void long_conv_fft_forward(const cpu::LongConvSizes& sizes, const LongConvBlocks& blocks, const float* x,
                           const float* filter, float* y, float* workspace, Stream& stream);
void long_conv_fft_backward(const cpu::LongConvSizes& sizes, const LongConvBlocks& blocks, const float* x,
                            const float* filter, const float* dy, float* dx, float* dfilter, float* workspace,
                            Stream& stream);

}  // namespace zoo::gpu
