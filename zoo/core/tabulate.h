#pragma once

#include <cstddef>
#include <cstdint>

#include "zoo/core/pool.h"
#include "zoo/core/tensor.h"

namespace zoo {

/// A tensor whose element number i, row by row, is value(i), rounded to its dtype, f32, f64 or i32: constants that the
/// host makes. On a GPU nobody waits, as for Tensor::from().
template <typename Value>
Tensor tabulate(const Shape& shape, DType dtype, const Value& value) {
  const auto make = [&](auto zero) {
    using T = decltype(zero);
    PoolVector<T> values(static_cast<std::size_t>(shape.size()));
    for (std::int64_t i = 0; i < shape.size(); ++i) values[static_cast<std::size_t>(i)] = static_cast<T>(value(i));
    return Tensor::from<T>(shape, values);
  };
  switch (dtype) {
    case DType::f32:
      return make(float{});
    case DType::f64:
      return make(double{});
    case DType::i32:
    case DType::bf16:
      break;
  }
  return make(std::int32_t{});
}

}  // namespace zoo
