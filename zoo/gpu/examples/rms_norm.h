#pragma once

#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// y[row] = x[row] / sqrt(mean(x[row]^2) + epsilon) * weight, for `rows` rows of `width` numbers (Zhang and Sennrich
/// 2019, equation 4). All pointers are to device memory.
void rms_norm(const float* x, const float* weight, int rows, int width, float epsilon, float* y, Stream& stream);

}  // namespace zoo::gpu
