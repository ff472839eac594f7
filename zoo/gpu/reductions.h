#pragma once

#include <cstdint>

#include "zoo/cpu/reductions.h"
#include "zoo/gpu/stream.h"

/// The reductions of zoo/cpu/reductions.h, in an order that depends on the sizes alone. All pointers are to device
/// memory; all throw Error for sizes below 0 or beyond 2147483647.
namespace zoo::gpu {

/// y [outer, inner]: sums, by way of `scratch`, sum_scratch() floats.
void sum(const cpu::AxisExtents& extents, const float* x, float* y, float* scratch, Stream& stream);
std::int64_t sum_scratch(const cpu::AxisExtents& extents);

/// y [outer, inner]: largest values; count >= 1. NaN counts as the largest of all.
void max(const cpu::AxisExtents& extents, const float* x, float* y, Stream& stream);

/// mask [outer, count, inner]: 1 at the first of the elements that are equal to the largest (as max found it), else 0.
void first_max_mask(const cpu::AxisExtents& extents, const float* x, const float* largest, float* mask, Stream& stream);

/// y[o] = index of the first largest of the `count` elements of row o (inner is 1).
void argmax(const cpu::AxisExtents& extents, const float* x, std::int32_t* y, Stream& stream);

/// y [outer, count, inner]: sums of all elements up to each, or from each to the last.
void cumsum(const cpu::AxisExtents& extents, const float* x, bool reverse, float* y, Stream& stream);

}  // namespace zoo::gpu
