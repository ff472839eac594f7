#include "zoo/gpu/extent.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/long_conv.h"
#include "zoo/gpu/long_conv_fft.h"

namespace zoo::gpu {

namespace {

constexpr int tile = 16;  // outputs of a thread, and taps at a time
constexpr int warps = 4;

// Step t of a sequence in channel c is first[sequence * of_sequence + t * step + c]; backward in time, first is its
// last step and step is negative.
template <typename T>
struct Steps {
  T* first;
  std::ptrdiff_t step;
  std::ptrdiff_t sequence;

  __device__ T& at(int of_sequence, int t, int channel) const {
    return first[of_sequence * sequence + t * step + channel];
  }
};

// y = sum over `added` sequences of the causal convolution of x with taps. The lanes of a warp have neighbouring
// channels, a thread 16 neighbouring steps of one; the last steps, which have the most taps, come first.
__global__ void __launch_bounds__(warps * 32, 2)
    convolution_kernel(int length, int channels, int added, Steps<const float> x, Steps<const float> taps,
                       Steps<float> y) {
  const int channel_blocks = (channels + 31) / 32;
  const int time_blocks = (length + tile * warps - 1) / (tile * warps);
  const int block = static_cast<int>(blockIdx.x);
  const int channel = block % channel_blocks * 32 + static_cast<int>(threadIdx.x) % 32;
  const int time_block = time_blocks - 1 - block / channel_blocks % time_blocks;
  const int sequence = block / channel_blocks / time_blocks;
  const int first = (time_block * warps + static_cast<int>(threadIdx.x) / 32) * tile;
  if (channel >= channels || first >= length) return;
  float sums[tile] = {};
  for (int other = sequence; other < sequence + added; ++other) {
    float inputs[2 * tile];  // from 16 steps before those of the sums without a lag on
    for (int i = 0; i < tile; ++i) inputs[i] = first + i < length ? x.at(other, first + i, channel) : 0.0F;
    for (int lag = 0; lag <= first; lag += tile) {
      for (int i = 0; i < tile; ++i) {
        const int t = first - lag - tile + i;
        inputs[tile + i] = inputs[i];
        inputs[i] = t >= 0 ? x.at(other, t, channel) : 0.0F;
      }
      for (int j = 0; j < tile; ++j) {
        const float tap = lag + j < length ? taps.at(other, lag + j, channel) : 0.0F;
        for (int i = 0; i < tile; ++i) sums[i] = fmaf(tap, inputs[tile + i - j], sums[i]);
      }
    }
  }
  for (int i = 0; i < tile; ++i) {
    if (first + i < length) y.at(sequence, first + i, channel) = sums[i];
  }
}

struct Extents {
  int batch, length, channels;
};

Extents checked(const cpu::LongConvSizes& sizes) {
  const char* family = "long_conv";
  return {extent(family, "batch", sizes.batch), extent(family, "length", sizes.length),
          extent(family, "channels", sizes.channels)};
}

// A tensor [B,T,C], and the same backward in time; or [T,C], which belongs to all sequences.
template <typename T>
Steps<T> forward_in_time(const Extents& sizes, T* tensor, bool of_sequences = true) {
  return {tensor, sizes.channels, of_sequences ? std::ptrdiff_t{sizes.length} * sizes.channels : 0};
}
template <typename T>
Steps<T> backward_in_time(const Extents& sizes, T* tensor, bool of_sequences = true) {
  const Steps<T> steps = forward_in_time(sizes, tensor, of_sequences);
  return {tensor + (std::ptrdiff_t{sizes.length} - 1) * sizes.channels, -steps.step, steps.sequence};
}

void convolve(const Extents& sizes, int sequences, int added, const Steps<const float>& x,
              const Steps<const float>& taps, const Steps<float>& y, Stream& stream) {
  const std::uint64_t time_blocks = (std::uint64_t{1} * sizes.length + tile * warps - 1) / (tile * warps);
  const LaunchShape shape = {.kernel = "long_conv",
                             .blocks = sequences * time_blocks * ((sizes.channels + 31) / 32),
                             .threads = warps * 32,
                             .shared_bytes = 0};
  launch_shape(convolution_kernel, shape, stream, sizes.length, sizes.channels, added, x, taps, y);
}

}  // namespace

void long_conv_definition_forward(const cpu::LongConvSizes& sizes, const float* x, const float* filter, float* y,
                                  Stream& stream) {
  const Extents extents = checked(sizes);
  convolve(extents, extents.batch, 1, forward_in_time(extents, x), forward_in_time(extents, filter, false),
           forward_in_time(extents, y), stream);
}

// Backward in time, dx is the convolution of dy with the filter, and dfilter that of x with dy.
void long_conv_definition_backward(const cpu::LongConvSizes& sizes, const float* x, const float* filter,
                                   const float* dy, float* dx, float* dfilter, Stream& stream) {
  const Extents extents = checked(sizes);
  if (dx != nullptr)
    convolve(extents, extents.batch, 1, backward_in_time(extents, dy), forward_in_time(extents, filter, false),
             backward_in_time(extents, dx), stream);
  if (dfilter != nullptr)
    convolve(extents, 1, extents.batch, forward_in_time(extents, x), backward_in_time(extents, dy),
             backward_in_time(extents, dfilter, false), stream);
}

std::int64_t long_conv_workspace(const cpu::LongConvSizes& sizes, bool backward) {
  if (!long_conv_by_fft(sizes)) return 0;
  return long_conv_fft_workspace(sizes, long_conv_blocks(sizes, backward, long_conv_most_floats()), backward);
}

void long_conv_forward(const cpu::LongConvSizes& sizes, const float* x, const float* filter, float* y, float* workspace,
                       Stream& stream) {
  if (!long_conv_by_fft(sizes)) return long_conv_definition_forward(sizes, x, filter, y, stream);
  const LongConvBlocks blocks = long_conv_blocks(sizes, /*backward=*/false, long_conv_most_floats());
  long_conv_fft_forward(sizes, blocks, x, filter, y, workspace, stream);
}

void long_conv_backward(const cpu::LongConvSizes& sizes, const float* x, const float* filter, const float* dy,
                        float* dx, float* dfilter, float* workspace, Stream& stream) {
  if (!long_conv_by_fft(sizes)) return long_conv_definition_backward(sizes, x, filter, dy, dx, dfilter, stream);
  const LongConvBlocks blocks = long_conv_blocks(sizes, /*backward=*/true, long_conv_most_floats());
  long_conv_fft_backward(sizes, blocks, x, filter, dy, dx, dfilter, workspace, stream);
}

}  // namespace zoo::gpu
