// The elementwise functions of one argument: each a value and a gradient on vectors. Included once for each instruction
// set (hence no #pragma once).
#if defined(ZOO_CPU_ELEMENTWISE_RULES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_ELEMENTWISE_RULES_INL_H_
#undef ZOO_CPU_ELEMENTWISE_RULES_INL_H_
#else
#define ZOO_CPU_ELEMENTWISE_RULES_INL_H_
#endif

#include "hwy/highway.h"
#include "zoo/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE::rules {

// Each rule's value is f(x); its gradient is g f', given x, or y = f(x) where derivative_reads_value says so.

template <class D>
HWY_INLINE hn::Vec<D> number(D d, double value) {
  return hn::Set(d, static_cast<hn::TFromD<D>>(value));
}

struct Neg {
  template <class D, class V>
  HWY_INLINE static V value(D, V x) {
    return hn::Neg(x);
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D, V, V g) {
    return hn::Neg(g);
  }
};

struct Sign {
  template <class D, class V>
  HWY_INLINE static V value(D d, V x) {
    const V zero = hn::Zero(d);
    return hn::IfThenElse(hn::Gt(x, zero), number(d, 1), hn::IfThenElse(hn::Lt(x, zero), number(d, -1), x));
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D d, V, V) {
    return hn::Zero(d);
  }
};

struct Abs {
  template <class D, class V>
  HWY_INLINE static V value(D, V x) {
    return hn::Abs(x);
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D d, V x, V g) {
    return hn::Mul(g, Sign::value(d, x));
  }
};

struct Square {
  template <class D, class V>
  HWY_INLINE static V value(D, V x) {
    return hn::Mul(x, x);
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D, V x, V g) {
    return hn::Mul(g, hn::Add(x, x));
  }
};

struct Sqrt {
  template <class D, class V>
  HWY_INLINE static V value(D, V x) {
    return hn::Sqrt(x);
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D d, V y, V g) {
    return hn::Div(hn::Mul(g, number(d, 0.5)), y);
  }
};

struct Rsqrt {
  template <class D, class V>
  HWY_INLINE static V value(D d, V x) {
    return hn::Div(number(d, 1), hn::Sqrt(x));
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D d, V y, V g) {
    return hn::Mul(hn::Mul(g, number(d, -0.5)), hn::Mul(hn::Mul(y, y), y));
  }
};

struct Reciprocal {
  template <class D, class V>
  HWY_INLINE static V value(D d, V x) {
    return hn::Div(number(d, 1), x);
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D, V y, V g) {
    return hn::Neg(hn::Mul(g, hn::Mul(y, y)));
  }
};

struct Exp {
  template <class D, class V>
  HWY_INLINE static V value(D d, V x) {
    return math::Exp(d, x);
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D, V y, V g) {
    return hn::Mul(g, y);
  }
};

struct Log {
  template <class D, class V>
  HWY_INLINE static V value(D d, V x) {
    return math::Log(d, x);
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D, V x, V g) {
    return hn::Div(g, x);
  }
};

struct Sin {
  template <class D, class V>
  HWY_INLINE static V value(D d, V x) {
    return math::Sin(d, x);
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D d, V x, V g) {
    return hn::Mul(g, math::Cos(d, x));
  }
};

struct Cos {
  template <class D, class V>
  HWY_INLINE static V value(D d, V x) {
    return math::Cos(d, x);
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D d, V x, V g) {
    return hn::Neg(hn::Mul(g, math::Sin(d, x)));
  }
};

struct Tanh {
  template <class D, class V>
  HWY_INLINE static V value(D d, V x) {
    return math::Tanh(d, x);
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D d, V y, V g) {
    return hn::Mul(g, hn::NegMulAdd(y, y, number(d, 1)));
  }
};

struct Sigmoid {
  template <class D, class V>
  HWY_INLINE static V value(D d, V x) {
    return math::Sigmoid(d, x);
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D d, V y, V g) {
    return hn::Mul(g, hn::Mul(y, hn::Sub(number(d, 1), y)));
  }
};

struct LogSigmoid {
  template <class D, class V>
  HWY_INLINE static V value(D d, V x) {
    return math::LogSigmoid(d, x);
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D d, V x, V g) {
    return hn::Mul(g, math::Sigmoid(d, hn::Neg(x)));
  }
};

struct SoftPlus {
  template <class D, class V>
  HWY_INLINE static V value(D d, V x) {
    return math::SoftPlus(d, x);
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D d, V x, V g) {
    return hn::Mul(g, math::Sigmoid(d, x));
  }
};

struct Relu {
  template <class D, class V>
  HWY_INLINE static V value(D d, V x) {
    return hn::Max(hn::Zero(d), x);  // in this order, NaN stays NaN
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D d, V x, V g) {
    return hn::IfThenElseZero(hn::Gt(x, hn::Zero(d)), g);
  }
};

struct Elu {
  template <class D, class V>
  HWY_INLINE static V value(D d, V x) {
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, math::Expm1OfNegative(d, x));
  }
  template <class D, class V>
  HWY_INLINE static V gradient(D d, V x, V g) {
    return hn::Mul(g, math::Exp(d, hn::Min(hn::Zero(d), x)));
  }
};

struct Silu {
  template <class D, class V>
  HWY_INLINE static V value(D d, V x) {
    return math::Silu(d, x);
  }
  // s (1 + x (1 - s)), where 1 - s = sigmoid(-x)
  template <class D, class V>
  HWY_INLINE static V gradient(D d, V x, V g) {
    const V gate = math::Sigmoid(d, x);
    const V rest = hn::Sub(number(d, 1), gate);
    return hn::Mul(g, hn::Mul(gate, hn::MulAdd(x, rest, number(d, 1))));
  }
};

struct GeluTanh {
  template <class D, class V>
  HWY_INLINE static V value(D d, V x) {
    return math::GeluTanh(d, x);
  }
  // s (1 + x (1 - s) (2u)'), where s = sigmoid(2u) and 2u = sqrt(8/pi) (x + 0.044715 x^3)
  template <class D, class V>
  HWY_INLINE static V gradient(D d, V x, V g) {
    const V gate = math::GeluTanhGate(d, x);
    const V rest = hn::Sub(number(d, 1), gate);
    const V slope =
        hn::MulAdd(hn::Mul(x, x), number(d, 1.5957691216057307117598 * 0.134145), number(d, 1.5957691216057307117598));
    return hn::Mul(g, hn::Mul(gate, hn::MulAdd(hn::Mul(x, slope), rest, number(d, 1))));
  }
};

}  // namespace zoo::cpu::HWY_NAMESPACE::rules
HWY_AFTER_NAMESPACE();

#endif  // include guard, by target
