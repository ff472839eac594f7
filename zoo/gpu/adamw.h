#pragma once

#include <cstdint>

#include "zoo/cpu/adamw.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// AdamW in one pass over values, gradients and moments, as cpu::adamw; all pointers are to device memory. Throws Error
/// for counts below 0 or beyond 2147483647.
void adamw(const cpu::AdamWFactors& factors, const float* gradient, float* value, float* moment1, float* moment2,
           std::int64_t count, Stream& stream);

}  // namespace zoo::gpu
