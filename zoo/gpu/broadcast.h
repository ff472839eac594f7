#pragma once

#include <cstdint>

#include "zoo/cpu/broadcast.h"
#include "zoo/cpu/strided.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// Elementwise functions of operands that broadcast, as in zoo/cpu/broadcast.h: the loops are over the result's `count`
/// elements, with the strides of each operand. All pointers are to device memory. All throw Error for counts below 0 or
/// beyond 2147483647.
void binary(cpu::Binary kind, std::int64_t count, const cpu::StridedLoops<2>& loops, const float* a, const float* b,
            float* y, Stream& stream);

/// y = condition != 0 ? a : b.
void where(std::int64_t count, const cpu::StridedLoops<3>& loops, const float* condition, const float* a,
           const float* b, float* y, Stream& stream);

/// into += term, in place.
void accumulate(float* into, const float* term, std::int64_t count, Stream& stream);

}  // namespace zoo::gpu
