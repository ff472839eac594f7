#pragma once

#include "zoo/core/shape.h"

/// Elementwise kernels of several operands, which broadcast as NumPy's do, for T float and double. `shape` is the
/// result's; the result is contiguous and is none of the operands, unless shapes are equal.
namespace zoo::cpu {

enum class Binary { add, sub, mul, div, maximum, minimum, greater };

/// y = f(a, b).
template <typename T>
void binary(Binary kind, const Shape& shape, const T* a, const Shape& a_shape, const T* b, const Shape& b_shape, T* y);

/// y = condition != 0 ? a : b.
template <typename T>
void where(const Shape& shape, const T* condition, const Shape& condition_shape, const T* a, const Shape& a_shape,
           const T* b, const Shape& b_shape, T* y);

}  // namespace zoo::cpu
