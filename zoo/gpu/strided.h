#pragma once

#include <cstddef>

#include "zoo/cpu/strided.h"
#include "zoo/gpu/extent.h"
#include "zoo/gpu/kernel.h"

namespace zoo::gpu {

/// cpu::StridedLoops as a kernel reads them: where the element of each operand lies that belongs to one of the result.
template <int operands>
struct StridedIndex {
  int rank;
  int extents[Shape::max_rank];
  std::ptrdiff_t strides[operands][Shape::max_rank];

  /// Throws Error naming the family where an extent is beyond 2147483647.
  StridedIndex(const char* family, const cpu::StridedLoops<operands>& loops) : rank(loops.rank), extents{}, strides{} {
    for (int axis = 0; axis < rank; ++axis) {
      const auto from = static_cast<std::size_t>(axis);
      extents[axis] = extent(family, "an extent", loops.extents[from]);
      for (int k = 0; k < operands; ++k) strides[k][axis] = loops.strides[static_cast<std::size_t>(k)][from];
    }
  }

  /// Sets offsets[k] to where operand k's element for element `at` of the result lies.
  __device__ __forceinline__ void find(int at, std::ptrdiff_t* offsets) const {
    for (int k = 0; k < operands; ++k) offsets[k] = 0;
    for (int axis = rank - 1; axis >= 0; --axis) {
      const int index = at % extents[axis];
      at /= extents[axis];
      for (int k = 0; k < operands; ++k) offsets[k] += index * strides[k][axis];
    }
  }
};

}  // namespace zoo::gpu
