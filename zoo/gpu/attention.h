#pragma once

#include <vector>

#include "zoo/cpu/attention.h"
#include "zoo/gpu/launch_shape.h"
#include "zoo/gpu/precision.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// Streaming softmax over tiles, as cpu::attention_forward (zoo/cpu/attention.h), which says what the fields mean; all
/// pointers are to device memory. Throws Error where inputs.rows is set, and for sizes that contradict each other or do
/// not fit in the device's shared memory.
void attention_forward(const cpu::AttentionSizes& sizes, const cpu::AttentionInputs<float>& inputs,
                       const cpu::AttentionOutputs<float>& outputs, Precision precision, Stream& stream);

/// The gradients of the inputs for dy, the gradient of y, as cpu::attention_backward. delta [B,Tq,H] is scratch memory.
/// Throws as attention_forward does.
void attention_backward(const cpu::AttentionSizes& sizes, const cpu::AttentionInputs<float>& inputs,
                        const cpu::AttentionOutputs<const float>& outputs, const float* dy,
                        const cpu::AttentionGradients<float>& gradients, float* delta, Precision precision,
                        Stream& stream);

/// The kernels that attention_forward launches, and those that attention_backward does.
std::vector<LaunchShape> attention_forward_kernels(const cpu::AttentionSizes& sizes, Precision precision);
std::vector<LaunchShape> attention_backward_kernels(const cpu::AttentionSizes& sizes, Precision precision);

/// Bytes that they move through shared memory (shared_traffic.h), in float32 and without dropout.
double attention_forward_traffic(const cpu::AttentionSizes& sizes);
double attention_backward_traffic(const cpu::AttentionSizes& sizes);

}  // namespace zoo::gpu
