#pragma once

#include <cstdint>
#include <span>

#include "zoo/cpu/causal_conv.h"
#include "zoo/gpu/launch_shape.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// The short depthwise convolution of zoo/cpu/causal_conv.h, which says what the fields mean; all pointers are to
/// device memory, the parts themselves are not. Throws Error for sizes that are below 0 or beyond 2147483647, parts
/// that are not all channels, and more taps than leave room for a block's gradients in the device's shared memory.
void causal_conv_forward(const cpu::CausalConvSizes& sizes, const cpu::CausalConvInputs<float>& inputs,
                         std::span<const cpu::CausalConvPart<float>> y, Stream& stream);

/// The gradients for those of y and of the next state, as cpu::causal_conv_backward. Those of weight and bias are added
/// up over blocks of 64 inputs, and the blocks in order, by way of `scratch`, causal_conv_backward_scratch() floats.
void causal_conv_backward(const cpu::CausalConvSizes& sizes, const cpu::CausalConvInputs<float>& inputs,
                          std::span<const cpu::CausalConvPart<const float>> dy, const float* dstate,
                          const cpu::CausalConvGradients<float>& gradients, float* scratch, Stream& stream);
std::int64_t causal_conv_backward_scratch(const cpu::CausalConvSizes& sizes);

/// The kernel that causal_conv_backward launches for a part that is all channels.
LaunchShape causal_conv_backward_kernel(const cpu::CausalConvSizes& sizes);
/// Bytes that causal_conv_backward moves through shared memory (shared_traffic.h), for parts of `widths` channels, with
/// the gradients of x and of the state or without them.
double causal_conv_backward_traffic(const cpu::CausalConvSizes& sizes, std::span<const std::int64_t> widths,
                                    bool inputs);

}  // namespace zoo::gpu
