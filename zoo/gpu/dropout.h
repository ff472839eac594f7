#pragma once

#include <cstdint>

#include "zoo/core/random.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// Dropout by the same random numbers as cpu::dropout, so that the same elements are dropped; all pointers are to
/// device memory. Throws Error for counts below 0 or beyond 2147483647.
void dropout(const float* x, std::int64_t count, double probability, RandomKey key, std::uint64_t first, float* y,
             Stream& stream);

}  // namespace zoo::gpu
