#include "zoo/cpu/elementwise.h"

#include <type_traits>

#include "zoo/cpu/partition.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/elementwise.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/elementwise_rules-inl.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

// Calls body with the rule of that kind.
template <class Body>
HWY_INLINE void with_rule(Unary kind, const Body& body) {
  switch (kind) {
    case Unary::neg:
      return body(rules::Neg{});
    case Unary::abs:
      return body(rules::Abs{});
    case Unary::sign:
      return body(rules::Sign{});
    case Unary::square:
      return body(rules::Square{});
    case Unary::sqrt:
      return body(rules::Sqrt{});
    case Unary::rsqrt:
      return body(rules::Rsqrt{});
    case Unary::reciprocal:
      return body(rules::Reciprocal{});
    case Unary::exp:
      return body(rules::Exp{});
    case Unary::log:
      return body(rules::Log{});
    case Unary::sin:
      return body(rules::Sin{});
    case Unary::cos:
      return body(rules::Cos{});
    case Unary::tanh:
      return body(rules::Tanh{});
    case Unary::sigmoid:
      return body(rules::Sigmoid{});
    case Unary::log_sigmoid:
      return body(rules::LogSigmoid{});
    case Unary::softplus:
      return body(rules::SoftPlus{});
    case Unary::relu:
      return body(rules::Relu{});
    case Unary::elu:
      return body(rules::Elu{});
    case Unary::silu:
      return body(rules::Silu{});
    case Unary::gelu_tanh:
      return body(rules::GeluTanh{});
  }
}

template <class Rule, typename T>
HWY_NOINLINE void values(const T* x, T* y, std::int64_t count) {
  const hn::ScalableTag<T> d;
  for_vectors(d, count,
              [=](std::int64_t i, auto part) HWY_ATTR { part.store(Rule::value(d, part.load(d, x + i)), d, y + i); });
}

template <class Rule, typename T>
HWY_NOINLINE void gradients(const T* kept, const T* grad, T* result, std::int64_t count) {
  const hn::ScalableTag<T> d;
  for_vectors(d, count, [=](std::int64_t i, auto part) HWY_ATTR {
    part.store(Rule::gradient(d, part.load(d, kept + i), part.load(d, grad + i)), d, result + i);
  });
}

void unary_f32(Unary kind, const float* x, float* y, std::int64_t count) {
  with_rule(kind, [=](auto rule) HWY_ATTR { values<decltype(rule)>(x, y, count); });
}

void unary_f64(Unary kind, const double* x, double* y, std::int64_t count) {
  with_rule(kind, [=](auto rule) HWY_ATTR { values<decltype(rule)>(x, y, count); });
}

void unary_backward_f32(Unary kind, const float* kept, const float* grad, float* result, std::int64_t count) {
  with_rule(kind, [=](auto rule) HWY_ATTR { gradients<decltype(rule)>(kept, grad, result, count); });
}

void unary_backward_f64(Unary kind, const double* kept, const double* grad, double* result, std::int64_t count) {
  with_rule(kind, [=](auto rule) HWY_ATTR { gradients<decltype(rule)>(kept, grad, result, count); });
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(unary_f32);
HWY_EXPORT(unary_f64);
HWY_EXPORT(unary_backward_f32);
HWY_EXPORT(unary_backward_f64);

template <typename T>
void unary(Unary kind, const T* x, T* y, std::int64_t count) {
  for_elements(count, [=](std::int64_t begin, std::int64_t end) {
    if constexpr (std::is_same_v<T, float>) {
      HWY_DYNAMIC_DISPATCH(unary_f32)(kind, x + begin, y + begin, end - begin);
    } else {
      HWY_DYNAMIC_DISPATCH(unary_f64)(kind, x + begin, y + begin, end - begin);
    }
  });
}

template <typename T>
void unary_backward(Unary kind, const T* argument_or_value, const T* grad, T* result, std::int64_t count) {
  for_elements(count, [=](std::int64_t begin, std::int64_t end) {
    if constexpr (std::is_same_v<T, float>) {
      HWY_DYNAMIC_DISPATCH(unary_backward_f32)
      (kind, argument_or_value + begin, grad + begin, result + begin, end - begin);
    } else {
      HWY_DYNAMIC_DISPATCH(unary_backward_f64)
      (kind, argument_or_value + begin, grad + begin, result + begin, end - begin);
    }
  });
}

// The two below do one addition or multiplication an element: memory sets their speed whatever the vector's width.

template <typename T>
void scale(const T* x, T factor, T* y, std::int64_t count) {
  for_elements(count, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y[i] = factor * x[i];
  });
}

template <typename T>
void add_scalar(const T* x, T term, T* y, std::int64_t count) {
  for_elements(count, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y[i] = x[i] + term;
  });
}

template void unary(Unary, const float*, float*, std::int64_t);
template void unary(Unary, const double*, double*, std::int64_t);
template void unary_backward(Unary, const float*, const float*, float*, std::int64_t);
template void unary_backward(Unary, const double*, const double*, double*, std::int64_t);
template void scale(const float*, float, float*, std::int64_t);
template void scale(const double*, double, double*, std::int64_t);
template void add_scalar(const float*, float, float*, std::int64_t);
template void add_scalar(const double*, double, double*, std::int64_t);

}  // namespace zoo::cpu

#endif  // HWY_ONCE
