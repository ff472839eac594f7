#pragma once

#include <cstdint>

#include "zoo/cpu/norm.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// The norms of zoo/cpu/norm.h, which says what the fields mean; all pointers are to device memory. All throw Error for
/// sizes below 0 or beyond 2147483647.
void layer_norm(const cpu::NormInput<float>& input, float* y, Stream& stream);
void rms_norm(const cpu::NormInput<float>& input, float* y, Stream& stream);

/// The gradients for grad, the gradient of y. Those of weight and bias are added up over blocks of rows of a fixed
/// size, and the blocks in order, by way of `scratch`, norm_backward_scratch() floats.
void layer_norm_backward(const cpu::NormInput<float>& input, const float* grad,
                         const cpu::NormGradients<float>& gradients, float* scratch, Stream& stream);
void rms_norm_backward(const cpu::NormInput<float>& input, const float* grad,
                       const cpu::NormGradients<float>& gradients, float* scratch, Stream& stream);
std::int64_t norm_backward_scratch(std::int64_t rows, std::int64_t count);
/// Bytes that these sums move through shared memory (shared_traffic.h), nothing else does; none where neither weight's
/// gradient nor bias's is wanted.
double norm_backward_traffic(std::int64_t rows, std::int64_t count);

}  // namespace zoo::gpu
