// Elementary functions on Highway vectors of float and double, shared by the kernels. Included once for each
// instruction set (hence no #pragma once); call them with their namespace, math::Exp(d, x), since Highway has
// functions of the same names.
//
// All of them pass NaN on, are right at plus and minus infinity, and neither overflow nor cancel inside. Errors against
// the exact value, in units in the last place, on every instruction set (tests/unit/vector_math_test.cpp): Exp,
// Expm1OfNegative and Log1pOfUnit 1.5; Log 2; Tanh, Sigmoid, SoftPlus, LogSigmoid, Sin and Cos 3; Silu 3.5.
#if defined(ZOO_CPU_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_VECTOR_MATH_INL_H_
#undef ZOO_CPU_VECTOR_MATH_INL_H_
#else
#define ZOO_CPU_VECTOR_MATH_INL_H_
#endif

#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

namespace math {

/// What differs between float and double: splittings of ln 2, ranges, lengths of series.
template <typename T>
struct Constants;

template <>
struct Constants<float> {
  static constexpr float round_magic = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number
  static constexpr int mantissa_bits = 23;
  static constexpr int exponent_bias = 127;
  static constexpr float ln2_high = 0x1.62e4p-1F;  // 14 bits: products with exponents are exact
  static constexpr float ln2_low = 0x1.7f7d1cp-20F;
  static constexpr float exp_lower = -104.5F;  // exp is 0 from here on
  static constexpr float exp_upper = 89.0F;    // exp is infinite from here on
  static constexpr float expm1_lower = -20.0F;
  static constexpr int exp_terms = 7;    // of r^n / n!, |r| <= ln(2)/2: 0.347^8 / 8! = 5e-9
  static constexpr int log_terms = 5;    // of s^2n / (2n+1), s^2 <= 0.0295: 0.0295^6 / 13 = 5e-11
  static constexpr int log1p_terms = 7;  // the same, s^2 <= 1/9: 9^-8 / 17 = 1e-9
  static constexpr float denormal_scale = 0x1p25F;
  static constexpr int denormal_exponent = 25;
};

template <>
struct Constants<double> {
  static constexpr double round_magic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr int mantissa_bits = 52;
  static constexpr int exponent_bias = 1023;
  static constexpr double ln2_high = 0x1.62e42fefap-1;  // 35 bits
  static constexpr double ln2_low = 0x1.cf79abc9e3b3ap-40;
  static constexpr double exp_lower = -746.0;
  static constexpr double exp_upper = 710.0;
  static constexpr double expm1_lower = -40.0;
  static constexpr int exp_terms = 14;    // 0.347^15 / 15! = 1e-19
  static constexpr int log_terms = 11;    // 0.0295^12 / 25 = 2e-20
  static constexpr int log1p_terms = 16;  // 9^-17 / 35 = 2e-18
  static constexpr double denormal_scale = 0x1p54;
  static constexpr int denormal_exponent = 54;
};

/// x within [lower, upper]; NaN stays NaN, because x86's minimum and maximum return their second operand then.
template <class D, class V, typename T = hn::TFromD<D>>
HWY_INLINE V Clamp(D d, V x, T lower, T upper) {
  return hn::Min(hn::Set(d, upper), hn::Max(hn::Set(d, lower), x));
}

/// sum_n coefficient(n) x^n for n in [0, terms), by Horner's rule; `coefficient` is a constexpr function of n.
template <int terms, class D, class V, class Coefficient>
HWY_INLINE V Polynomial(D d, V x, Coefficient coefficient) {
  V sum = hn::Set(d, coefficient(terms - 1));
  for (int n = terms - 2; n >= 0; --n) sum = hn::MulAdd(sum, x, hn::Set(d, coefficient(n)));
  return sum;
}

/// The argument of exp as q ln(2) + r: q in the low bits of `quotient_bits`, and exp(r) - 1.
template <class D, class V>
struct ReducedExp {
  hn::Vec<hn::RebindToSigned<D>> quotient;
  V expm1;
};

template <class D, class V>
HWY_INLINE ReducedExp<D, V> ReduceExp(D d, V x) {
  using T = hn::TFromD<D>;
  using C = Constants<T>;
  const hn::RebindToSigned<D> di;
  const V magic = hn::Set(d, C::round_magic);
  const V shifted = hn::MulAdd(x, hn::Set(d, std::numbers::log2e_v<T>), magic);
  const V quotient = hn::Sub(shifted, magic);
  V r = hn::NegMulAdd(quotient, hn::Set(d, C::ln2_high), x);
  r = hn::NegMulAdd(quotient, hn::Set(d, C::ln2_low), r);
  // exp(r) - 1 = r + r^2 (1/2 + r/6 + ...)
  const auto tail = Polynomial<C::exp_terms - 1>(d, r, [](int n) {
    double factorial = 1;
    for (int i = 2; i <= n + 2; ++i) factorial *= i;
    return static_cast<T>(1 / factorial);
  });
  return {hn::Sub(hn::BitCast(di, shifted), hn::BitCast(di, magic)), hn::MulAdd(hn::Mul(r, r), tail, r)};
}

/// 2^q for whole q in the range of normal exponents.
template <class D, class VI>
HWY_INLINE hn::Vec<D> PowerOfTwo(D d, VI q) {
  using C = Constants<hn::TFromD<D>>;
  const hn::RebindToSigned<D> di;
  return hn::BitCast(d, hn::ShiftLeft<C::mantissa_bits>(hn::Add(q, hn::Set(di, C::exponent_bias))));
}

template <class D, class V>
HWY_INLINE V Exp(D d, V x) {
  using T = hn::TFromD<D>;
  using C = Constants<T>;
  const auto reduced = ReduceExp(d, Clamp(d, x, C::exp_lower, C::exp_upper));
  // In two steps, since 2^q itself may lie outside the range when the result does not.
  const auto half = hn::ShiftRight<1>(reduced.quotient);
  const V mantissa = hn::Add(hn::Set(d, T{1}), reduced.expm1);
  return hn::Mul(hn::Mul(mantissa, PowerOfTwo(d, half)), PowerOfTwo(d, hn::Sub(reduced.quotient, half)));
}

/// exp(x) - 1 for x <= 0.
template <class D, class V>
HWY_INLINE V Expm1OfNegative(D d, V x) {
  using T = hn::TFromD<D>;
  using C = Constants<T>;
  const auto reduced = ReduceExp(d, Clamp(d, x, C::expm1_lower, T{0}));
  const V power = PowerOfTwo(d, reduced.quotient);
  return hn::MulAdd(power, reduced.expm1, hn::Sub(power, hn::Set(d, T{1})));
}

/// log((1+s)/(1-s)) / (2s) - 1 = s^2/3 + s^4/5 + ..., given s^2.
template <int terms, class D, class V>
HWY_INLINE V AtanhTail(D d, V s2) {
  using T = hn::TFromD<D>;
  return hn::Mul(s2, Polynomial<terms>(d, s2, [](int n) { return static_cast<T>(1.0 / (2 * n + 3)); }));
}

/// log(1 + x) for x in [0, 1].
template <class D, class V>
HWY_INLINE V Log1pOfUnit(D d, V x) {
  using T = hn::TFromD<D>;
  const V s = hn::Div(x, hn::Add(x, hn::Set(d, T{2})));
  const V tail = AtanhTail<Constants<T>::log1p_terms>(d, hn::Mul(s, s));
  const V twice = hn::Add(s, s);
  return hn::MulAdd(twice, tail, twice);
}

/// Natural logarithm: -infinity at 0, NaN below.
template <class D, class V>
HWY_INLINE V Log(D d, V x) {
  using T = hn::TFromD<D>;
  using C = Constants<T>;
  using TI = hwy::MakeSigned<T>;
  const hn::RebindToSigned<D> di;
  const V one = hn::Set(d, T{1});
  const auto denormal = hn::Lt(x, hn::Set(d, std::numeric_limits<T>::min()));
  const V normal = hn::IfThenElse(denormal, hn::Mul(x, hn::Set(d, C::denormal_scale)), x);
  // The exponent, rounded so that the mantissa lies in [sqrt(1/2), sqrt(2)).
  constexpr TI mantissa_mask = (TI{1} << C::mantissa_bits) - 1;
  const auto bits = hn::BitCast(di, normal);
  const auto root_half = hn::BitCast(di, hn::Set(d, std::numbers::sqrt2_v<T> / 2));
  const auto offset = hn::Sub(bits, root_half);
  const auto exponent_bits = hn::AndNot(hn::Set(di, mantissa_mask), offset);
  const V mantissa = hn::BitCast(d, hn::Sub(bits, exponent_bits));
  // The exponent as a number: in the low bits of the magic constant.
  const V magic = hn::Set(d, C::round_magic);
  const auto exponent_int = hn::ShiftRight<C::mantissa_bits>(exponent_bits);
  V exponent = hn::Sub(hn::BitCast(d, hn::Add(hn::BitCast(di, magic), exponent_int)), magic);
  exponent = hn::Sub(exponent, hn::IfThenElseZero(denormal, hn::Set(d, static_cast<T>(C::denormal_exponent))));

  const V s = hn::Div(hn::Sub(mantissa, one), hn::Add(mantissa, one));
  const V twice = hn::Add(s, s);
  const V low = hn::MulAdd(twice, AtanhTail<C::log_terms>(d, hn::Mul(s, s)), hn::Mul(exponent, hn::Set(d, C::ln2_low)));
  V result = hn::Add(hn::MulAdd(exponent, hn::Set(d, C::ln2_high), twice), low);

  const V infinity = hn::Set(d, std::numeric_limits<T>::infinity());
  result = hn::IfThenElse(hn::Lt(x, infinity), result, x);  // +infinity and NaN
  result = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(infinity), result);
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Set(d, std::numeric_limits<T>::quiet_NaN()), result);
}

template <class D, class V>
HWY_INLINE V Tanh(D d, V x) {
  using T = hn::TFromD<D>;
  const V magnitude = hn::Abs(x);
  const V minus = Expm1OfNegative(d, hn::Mul(magnitude, hn::Set(d, T{-2})));
  const V positive = hn::Div(hn::Neg(minus), hn::Add(minus, hn::Set(d, T{2})));
  return hn::CopySign(positive, x);
}

/// 1 / (1 + exp(-x)).
template <class D, class V>
HWY_INLINE V Sigmoid(D d, V x) {
  const V one = hn::Set(d, hn::TFromD<D>{1});
  return hn::Div(one, hn::Add(one, math::Exp(d, hn::Neg(x))));
}

/// log(1 + exp(x)).
template <class D, class V>
HWY_INLINE V SoftPlus(D d, V x) {
  return hn::Add(hn::Max(hn::Zero(d), x), Log1pOfUnit(d, math::Exp(d, hn::Neg(hn::Abs(x)))));
}

/// log(sigmoid(x)) = -log(1 + exp(-x)).
template <class D, class V>
HWY_INLINE V LogSigmoid(D d, V x) {
  return hn::Neg(SoftPlus(d, hn::Neg(x)));
}

/// x * sigmoid(x), with its limit 0 at -infinity.
template <class D, class V>
HWY_INLINE V Silu(D d, V x) {
  return hn::Mul(hn::Max(hn::Set(d, std::numeric_limits<hn::TFromD<D>>::lowest()), x), Sigmoid(d, x));
}

/// x * sigmoid(2u) with u = sqrt(2/pi) (x + 0.044715 x^3), which is x/2 (1 + tanh(u)) without its cancellation: the
/// tanh form of the Gaussian error linear unit (Hendrycks and Gimpel 2016).
template <class D, class V>
HWY_INLINE V GeluTanhGate(D d, V x) {
  using T = hn::TFromD<D>;
  const V cubic = hn::MulAdd(hn::Mul(x, x), hn::Set(d, static_cast<T>(0.044715)), hn::Set(d, T{1}));
  return Sigmoid(d, hn::Mul(hn::Mul(x, hn::Set(d, static_cast<T>(1.5957691216057307117598))), cubic));
}

template <class D, class V>
HWY_INLINE V GeluTanh(D d, V x) {
  return hn::Mul(hn::Max(hn::Set(d, std::numeric_limits<hn::TFromD<D>>::lowest()), x), GeluTanhGate(d, x));
}

/// Lanes where Highway's sine and cosine are not valid: large, infinite or NaN.
template <class D, class V, class Vectorised, class Scalar>
HWY_INLINE V WithinQuadrants(D d, V x, Vectorised vectorised, Scalar scalar) {
  using T = hn::TFromD<D>;
  const auto valid = hn::Lt(hn::Abs(x), hn::Set(d, T{30000}));
  const V result = vectorised(hn::IfThenElseZero(valid, x));
  if (HWY_LIKELY(hn::AllTrue(d, valid))) return result;
  HWY_ALIGN T lanes[hn::MaxLanes(d)];
  hn::Store(x, d, lanes);
  for (T& lane : lanes) lane = scalar(lane);
  return hn::IfThenElse(valid, result, hn::Load(d, lanes));
}

template <class D, class V>
HWY_INLINE V Sin(D d, V x) {
  return WithinQuadrants(
      d, x, [d](V y) HWY_ATTR { return hn::Sin(d, y); }, [](auto lane) { return std::sin(lane); });
}

template <class D, class V>
HWY_INLINE V Cos(D d, V x) {
  return WithinQuadrants(
      d, x, [d](V y) HWY_ATTR { return hn::Cos(d, y); }, [](auto lane) { return std::cos(lane); });
}

}  // namespace math
}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard, by target
