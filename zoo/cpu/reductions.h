#pragma once

#include <cstdint>

/// Reductions of an array seen as [outer, count, inner] along its middle axis, for T float and double. Additions happen
/// in an order that depends on the sizes and the instruction set, not on the threads.
namespace zoo::cpu {

/// The three extents: the axis, and what lies before and after it.
struct AxisExtents {
  std::int64_t outer;
  std::int64_t count;
  std::int64_t inner;
};

/// y [outer, inner]: sums.
template <typename T>
void sum(const AxisExtents& extents, const T* x, T* y);

/// y [outer, inner]: largest values; count >= 1. NaN counts as the largest of all.
template <typename T>
void max(const AxisExtents& extents, const T* x, T* y);

/// mask [outer, count, inner]: 1 at the first of the elements that are equal to the largest (as max found it), else 0.
template <typename T>
void first_max_mask(const AxisExtents& extents, const T* x, const T* largest, T* mask);

/// y[o] = index of the first largest of the `count` elements of row o (inner is 1).
template <typename T>
void argmax(const AxisExtents& extents, const T* x, std::int32_t* y);

/// y [outer, count, inner]: sums of all elements up to each, or from each to the last.
template <typename T>
void cumsum(const AxisExtents& extents, const T* x, bool reverse, T* y);

}  // namespace zoo::cpu
