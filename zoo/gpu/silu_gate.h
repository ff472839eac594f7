#pragma once

#include <cstdint>

#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// result = y * silu(z); all pointers are to device memory. Both throw Error for counts below 0 or beyond 2147483647.
void silu_gate(const float* y, const float* z, float* result, std::int64_t count, Stream& stream);

/// The gradients of y and z for `grad` by the result; nullptr where one is not wanted.
void silu_gate_backward(const float* y, const float* z, const float* grad, float* dy, float* dz, std::int64_t count,
                        Stream& stream);

}  // namespace zoo::gpu
