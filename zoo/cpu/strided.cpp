#include "zoo/cpu/strided.h"

namespace zoo::cpu {

Strides contiguous_strides(const Shape& shape) {
  Strides strides{};
  std::int64_t step = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    strides[static_cast<std::size_t>(axis)] = step;
    step *= shape[axis];
  }
  return strides;
}

Strides broadcast_strides(const Shape& operand, const Shape& result) {
  Strides strides{};
  std::int64_t step = 1;
  for (int axis = -1; axis >= -operand.rank(); --axis) {
    if (operand[axis] != 1) strides[static_cast<std::size_t>(result.normalize(axis))] = step;
    step *= operand[axis];
  }
  return strides;
}

}  // namespace zoo::cpu
