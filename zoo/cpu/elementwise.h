#pragma once

#include <cstdint>

/// Elementwise kernels on arrays, for T float and double. The result may be one of the operands.
namespace zoo::cpu {

enum class Unary {
  neg,
  abs,
  sign,
  square,
  sqrt,
  rsqrt,
  reciprocal,
  exp,
  log,
  sin,
  cos,
  tanh,
  sigmoid,
  log_sigmoid,
  softplus,
  relu,
  elu,
  silu,
  gelu_tanh,
};

/// y = f(x).
template <typename T>
void unary(Unary kind, const T* x, T* y, std::int64_t count);

/// Whether f' is computed from f's value rather than from its argument.
constexpr bool derivative_reads_value(Unary kind) {
  return kind == Unary::sqrt || kind == Unary::rsqrt || kind == Unary::reciprocal || kind == Unary::exp ||
         kind == Unary::tanh || kind == Unary::sigmoid;
}

/// result = grad * f', given the argument or the value (derivative_reads_value).
template <typename T>
void unary_backward(Unary kind, const T* argument_or_value, const T* grad, T* result, std::int64_t count);

/// y = factor * x.
template <typename T>
void scale(const T* x, T factor, T* y, std::int64_t count);
/// y = x + term.
template <typename T>
void add_scalar(const T* x, T term, T* y, std::int64_t count);

}  // namespace zoo::cpu
