#pragma once

#include "zoo/cpu/causal_conv.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// y_t = sum_{j <= t} filter_j x_{t-j}, as cpu::long_conv_forward (zoo/cpu/causal_conv.h): by Fourier transforms where
/// they do less work (long_conv_fft.h), else by that definition. All pointers are to device memory; `workspace` is
/// long_conv_workspace() floats. Throws Error for sizes below 0 or beyond 2147483647.
void long_conv_forward(const cpu::LongConvSizes& sizes, const float* x, const float* filter, float* y, float* workspace,
                       Stream& stream);
/// dx and dfilter, of the first T taps, are nullptr where nobody wants them.
void long_conv_backward(const cpu::LongConvSizes& sizes, const float* x, const float* filter, const float* dy,
                        float* dx, float* dfilter, float* workspace, Stream& stream);
std::int64_t long_conv_workspace(const cpu::LongConvSizes& sizes, bool backward);

/// The same by the definition, at any length: T^2 / 2 products a channel, in tiles of 16 outputs and 16 taps that stay
/// in registers.
void long_conv_definition_forward(const cpu::LongConvSizes& sizes, const float* x, const float* filter, float* y,
                                  Stream& stream);
void long_conv_definition_backward(const cpu::LongConvSizes& sizes, const float* x, const float* filter,
                                   const float* dy, float* dx, float* dfilter, Stream& stream);

}  // namespace zoo::gpu
