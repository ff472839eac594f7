#pragma once

#include <string_view>

#include "zoo/core/error.h"
#include "zoo/core/tensor.h"

namespace zoo::ops {

/// Calls body(T{}) with T float or double. Throws Error naming the op for another dtype.
template <typename Body>
decltype(auto) with_real_type(DType dtype, std::string_view op, const Body& body) {
  if (dtype == DType::f32) return body(float{});
  if (dtype == DType::f64) return body(double{});
  throw Error("{} takes f32 or f64, it was given {}", op, dtype_name(dtype));
}

/// Throws Error unless x is there.
inline void check_defined(const Tensor& x, std::string_view op) {
  if (!x.defined()) throw Error("{} was given an undefined tensor", op);
}

/// Throws Error unless x is there and holds f32 or f64.
inline void check_real(const Tensor& x, std::string_view op) {
  check_defined(x, op);
  with_real_type(x.dtype(), op, [](auto) {});
}

/// Throws Error unless both are there and hold the same one of f32 and f64.
inline void check_same_real(const Tensor& a, const Tensor& b, std::string_view op) {
  check_real(a, op);
  check_real(b, op);
  if (a.dtype() != b.dtype()) {
    throw Error("{} takes two tensors of one dtype, it was given {} and {}; ops::cast converts", op,
                dtype_name(a.dtype()), dtype_name(b.dtype()));
  }
}

}  // namespace zoo::ops
