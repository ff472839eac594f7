#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "zoo/core/shape.h"

namespace zoo::cpu {

/// A step in elements along each axis of a result; 0 where an operand is repeated.
using Strides = std::array<std::int64_t, Shape::max_rank>;

/// The strides of a contiguous array.
Strides contiguous_strides(const Shape& shape);

/// The strides with which a contiguous operand of shape `operand` is read when broadcast to `result`.
Strides broadcast_strides(const Shape& operand, const Shape& result);

/// Nested loops over a contiguous result and the operands it is computed from, with as few axes as possible: extents of
/// one are dropped, and neighbouring axes that all operands walk through evenly are one. At least one axis is left.
template <int operands>
struct StridedLoops {
  int rank = 0;
  std::array<std::int64_t, Shape::max_rank> extents{};
  std::array<Strides, operands> strides{};

  StridedLoops(const Shape& result, const std::array<Strides, operands>& of_operands) {
    for (int axis = 0; axis < result.rank(); ++axis) {
      const std::int64_t extent = result[axis];
      const auto from = static_cast<std::size_t>(axis);
      if (extent == 1) continue;
      if (rank > 0 && joins(of_operands, from, extent)) {
        extents[last()] *= extent;
      } else {
        extents[static_cast<std::size_t>(rank++)] = extent;
      }
      for (std::size_t k = 0; k < operands; ++k) strides[k][last()] = of_operands[k][from];
    }
    if (rank == 0) {
      rank = 1;
      extents[0] = 1;
    }
  }

  std::size_t last() const { return static_cast<std::size_t>(rank - 1); }
  /// Extent of the innermost axis, and the number of times that it is walked through.
  std::int64_t inner() const { return extents[last()]; }
  std::int64_t rows() const {
    std::int64_t product = 1;
    for (std::size_t axis = 0; axis < last(); ++axis) product *= extents[axis];
    return product;
  }

  /// Calls body(row, offsets) for the rows [begin, end), where offsets[k] is where operand k's row begins.
  template <typename Body>
  void for_each_row(std::int64_t begin, std::int64_t end, const Body& body) const {
    if (begin >= end) return;
    std::array<std::int64_t, Shape::max_rank> index{};
    std::array<std::int64_t, operands> offsets{};
    std::int64_t rest = begin;
    for (std::size_t axis = last(); axis-- > 0;) {
      index[axis] = rest % extents[axis];
      rest /= extents[axis];
      for (std::size_t k = 0; k < operands; ++k) offsets[k] += index[axis] * strides[k][axis];
    }
    for (std::int64_t row = begin; row < end; ++row) {
      body(row, offsets);
      for (std::size_t axis = last(); axis-- > 0;) {
        for (std::size_t k = 0; k < operands; ++k) offsets[k] += strides[k][axis];
        if (++index[axis] < extents[axis]) break;
        for (std::size_t k = 0; k < operands; ++k) offsets[k] -= extents[axis] * strides[k][axis];
        index[axis] = 0;
      }
    }
  }

 private:
  // Whether the next axis continues the last one for every operand.
  bool joins(const std::array<Strides, operands>& of_operands, std::size_t next, std::int64_t extent) const {
    for (std::size_t k = 0; k < operands; ++k) {
      if (strides[k][last()] != of_operands[k][next] * extent) return false;
    }
    return true;
  }
};

}  // namespace zoo::cpu
