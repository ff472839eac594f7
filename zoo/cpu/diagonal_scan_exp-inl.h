// The decays of a selective scan: many exponentials of products with one factor in common, of which the base's
// logarithm can be a part. Included once for each instruction set (hence no #pragma once).
#if defined(ZOO_CPU_DIAGONAL_SCAN_EXP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_DIAGONAL_SCAN_EXP_INL_H_
#undef ZOO_CPU_DIAGONAL_SCAN_EXP_INL_H_
#else
#define ZOO_CPU_DIAGONAL_SCAN_EXP_INL_H_
#endif

#include <numbers>

#include "hwy/highway.h"
#include "zoo/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// 2^x, with x brought within the exponents of normal numbers: what is smaller becomes the smallest of them (1e-38 in
/// float), what is larger nearly the largest. NaN stays NaN. Within 1.5 units in the last place of the exact value; of
/// exp(y) by way of x = y log2(e), rounded, also |x| / 2 units, as many as y's own rounding costs.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V power_of_two(D d, V x) {
  using T = hn::TFromD<D>;
  using C = math::Constants<T>;
  const hn::RebindToSigned<D> di;
  constexpr auto lowest = static_cast<T>(1 - C::exponent_bias), highest = static_cast<T>(C::exponent_bias);
  x = math::Clamp(d, x, lowest, highest);
  const V magic = hn::Set(d, C::round_magic);
  const V shifted = hn::Add(x, magic);
  const V r = hn::Sub(x, hn::Sub(shifted, magic));  // exact, |r| <= 1/2
  // sum_n (r ln 2)^n / n!
  const V mantissa = math::Polynomial<C::exp_terms + 1>(d, r, [](int n) {
    double coefficient = 1;
    for (int i = 1; i <= n; ++i) coefficient *= std::numbers::ln2 / i;
    return static_cast<T>(coefficient);
  });
  // The whole part lies in the low bits of `shifted`; what else is there is shifted out.
  const auto exponent = hn::ShiftLeft<C::mantissa_bits>(hn::BitCast(di, shifted));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, mantissa), exponent));
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard, by target
