// Row by row: the norms, the inner loss and the GELU of the fast weights' kernels, with their derivatives. Included
// once for each instruction set (hence no #pragma once).
#if defined(ZOO_CPU_FAST_WEIGHTS_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_FAST_WEIGHTS_ROWS_INL_H_
#undef ZOO_CPU_FAST_WEIGHTS_ROWS_INL_H_
#else
#define ZOO_CPU_FAST_WEIGHTS_ROWS_INL_H_
#endif

#include <cmath>
#include <cstdint>

#include "hwy/highway.h"
#include "zoo/cpu/vector_loop-inl.h"
#include "zoo/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// A head's LayerNorm.
template <typename T>
struct HeadNorm {
  const T* weight;
  const T* bias;
  std::int64_t count;
  T epsilon;
};

/// x^ in place of x; returns 1 / sigma.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE T normalise_row(D d, const HeadNorm<T>& norm, T* x) {
  const T scale = T{1} / static_cast<T>(norm.count);
  auto total = hn::Zero(d);
  for_vectors(d, norm.count, [&](std::int64_t i, auto part) HWY_ATTR { total = hn::Add(total, part.load(d, x + i)); });
  const auto mean = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, total)) * scale);
  auto squares = hn::Zero(d);
  for_vectors(d, norm.count, [&](std::int64_t i, auto part) HWY_ATTR {
    const auto centred = part.masked(d, hn::Sub(part.load(d, x + i), mean));
    squares = hn::MulAdd(centred, centred, squares);
    part.store(centred, d, x + i);
  });
  const T inverse = T{1} / std::sqrt(hn::GetLane(hn::SumOfLanes(d, squares)) * scale + norm.epsilon);
  const auto factor = hn::Set(d, inverse);
  for_vectors(d, norm.count,
              [&](std::int64_t i, auto part) HWY_ATTR { part.store(hn::Mul(part.load(d, x + i), factor), d, x + i); });
  return inverse;
}

/// For x^ and 1/sigma of z: the gradient by z of 1/2 |weight x^ + bias - (v - k)|^2.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void loss_gradient_row(D d, const HeadNorm<T>& norm, const T* x, T inverse, const T* k, const T* v,
                                  T* gradient) {
  const T scale = T{1} / static_cast<T>(norm.count);
  auto sum = hn::Zero(d), product = hn::Zero(d);
  for_vectors(d, norm.count, [&](std::int64_t i, auto part) HWY_ATTR {
    const auto weight = part.load(d, norm.weight + i), xi = part.load(d, x + i);
    const auto target = hn::Sub(part.load(d, v + i), part.load(d, k + i));
    const auto g = hn::Mul(weight, hn::Sub(hn::MulAdd(weight, xi, part.load(d, norm.bias + i)), target));
    sum = hn::Add(sum, g);
    product = hn::MulAdd(g, xi, product);
    part.store(g, d, gradient + i);
  });
  const auto mean = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, sum)) * scale);
  const auto along = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, product)) * scale);
  const auto factor = hn::Set(d, inverse);
  for_vectors(d, norm.count, [&](std::int64_t i, auto part) HWY_ATTR {
    const auto g = hn::Sub(part.load(d, gradient + i), mean);
    part.store(hn::Mul(hn::NegMulAdd(part.load(d, x + i), along, g), factor), d, gradient + i);
  });
}

/// Where gradients of a head's norm are summed.
template <typename T>
struct HeadNormGradients {
  T* weight;
  T* bias;
};

/// The loss gradient's own backward pass. With G that gradient and c the one by it, in place of c the one by z; adds to
/// those by v and k, and to the norm's.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void loss_gradient_backward_row(D d, const HeadNorm<T>& norm, const T* x, T inverse, const T* k, const T* v,
                                           const T* gradient, T* c, T* dk, T* dv, const HeadNormGradients<T>& into) {
  const T scale = T{1} / static_cast<T>(norm.count);
  const auto factor = hn::Set(d, inverse);
  // e = weight x^ + bias - (v - k), g = weight e, G = (g - mean g - x^ mean(g x^)) / sigma.
  const auto error = [&](std::int64_t i, auto part) HWY_ATTR {
    const auto target = hn::Sub(part.load(d, v + i), part.load(d, k + i));
    const auto y = hn::MulAdd(part.load(d, norm.weight + i), part.load(d, x + i), part.load(d, norm.bias + i));
    return part.masked(d, hn::Sub(y, target));
  };
  auto c_sum = hn::Zero(d), c_x = hn::Zero(d), c_gradient = hn::Zero(d), g_x = hn::Zero(d);
  for_vectors(d, norm.count, [&](std::int64_t i, auto part) HWY_ATTR {
    const auto ci = part.load(d, c + i), xi = part.load(d, x + i);
    c_sum = hn::Add(c_sum, ci);
    c_x = hn::MulAdd(ci, xi, c_x);
    c_gradient = hn::MulAdd(ci, part.load(d, gradient + i), c_gradient);
    g_x = hn::MulAdd(hn::Mul(part.load(d, norm.weight + i), error(i, part)), xi, g_x);
  });
  const auto c_mean = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, c_sum)) * scale * inverse);
  const auto c_along = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, c_x)) * scale * inverse);
  const auto g_along = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, g_x)) * scale);
  const T by_inverse = hn::GetLane(hn::SumOfLanes(d, c_gradient)) * scale;
  auto sum = hn::Zero(d), along = hn::Zero(d);
  for_vectors(d, norm.count, [&](std::int64_t i, auto part) HWY_ATTR {
    const auto xi = part.load(d, x + i), weight = part.load(d, norm.weight + i), e = error(i, part);
    const auto scaled = hn::Mul(part.load(d, c + i), factor);
    const auto dg = part.masked(d, hn::NegMulAdd(xi, c_along, hn::Sub(scaled, c_mean)));
    const auto de = hn::Mul(weight, dg);
    const auto by_weight = hn::MulAdd(de, xi, hn::Mul(dg, e));
    part.store(hn::Add(part.load(d, into.weight + i), by_weight), d, into.weight + i);
    part.store(hn::Add(part.load(d, into.bias + i), de), d, into.bias + i);
    part.store(hn::Add(part.load(d, dk + i), de), d, dk + i);
    part.store(hn::Sub(part.load(d, dv + i), de), d, dv + i);
    auto dx = hn::Mul(de, weight);
    dx = hn::NegMulAdd(scaled, g_along, dx);
    dx = hn::NegMulAdd(hn::Mul(weight, e), c_along, dx);
    sum = hn::Add(sum, dx);
    along = hn::MulAdd(dx, xi, along);
    part.store(dx, d, c + i);
  });
  const auto mean = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, sum)) * scale);
  const auto radial = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, along)) * scale + by_inverse);
  for_vectors(d, norm.count, [&](std::int64_t i, auto part) HWY_ATTR {
    const auto dx = hn::Sub(part.load(d, c + i), mean);
    part.store(hn::Mul(hn::NegMulAdd(part.load(d, x + i), radial, dx), factor), d, c + i);
  });
}

/// q + weight x^ + bias.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void read_out_row(D d, const HeadNorm<T>& norm, const T* x, const T* q, T* z) {
  for_vectors(d, norm.count, [&](std::int64_t i, auto part) HWY_ATTR {
    const auto y = hn::MulAdd(part.load(d, norm.weight + i), part.load(d, x + i), part.load(d, norm.bias + i));
    part.store(hn::Add(part.load(d, q + i), y), d, z + i);
  });
}

/// The gradient by what was normalised, for dz by weight x^ + bias; adds to the norm's.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void read_out_backward_row(D d, const HeadNorm<T>& norm, const T* x, T inverse, const T* dz, T* dy,
                                      const HeadNormGradients<T>& into) {
  const T scale = T{1} / static_cast<T>(norm.count);
  auto sum = hn::Zero(d), along = hn::Zero(d);
  for_vectors(d, norm.count, [&](std::int64_t i, auto part) HWY_ATTR {
    const auto xi = part.load(d, x + i), dzi = part.load(d, dz + i);
    const auto g = hn::Mul(dzi, part.load(d, norm.weight + i));
    part.store(hn::MulAdd(dzi, xi, part.load(d, into.weight + i)), d, into.weight + i);
    part.store(hn::Add(part.load(d, into.bias + i), dzi), d, into.bias + i);
    sum = hn::Add(sum, g);
    along = hn::MulAdd(g, xi, along);
    part.store(g, d, dy + i);
  });
  const auto mean = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, sum)) * scale);
  const auto radial = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, along)) * scale);
  const auto factor = hn::Set(d, inverse);
  for_vectors(d, norm.count, [&](std::int64_t i, auto part) HWY_ATTR {
    const auto g = hn::Sub(part.load(d, dy + i), mean);
    part.store(hn::Mul(hn::NegMulAdd(part.load(d, x + i), radial, g), factor), d, dy + i);
  });
}

/// The tanh-GELU x s with s = sigmoid(2u) (vector_math-inl.h), and its derivatives.
template <class D>
struct Gelu {
  hn::Vec<D> value;
  hn::Vec<D> slope;
  hn::Vec<D> curvature;
};

template <class D, class V>
HWY_INLINE Gelu<D> gelu(D d, V x) {
  using T = hn::TFromD<D>;
  constexpr T c = static_cast<T>(1.5957691216057307117598);
  const V one = hn::Set(d, T{1});
  const V value_x = hn::Max(hn::Set(d, std::numeric_limits<T>::lowest()), x);
  // From 30 on, s is 1 or 0 to the last bit; powers of a larger x would overflow.
  const V near = math::Clamp(d, x, T{-30}, T{30});
  const V square = hn::Mul(near, near);
  const V twice_u =
      hn::Mul(hn::Mul(near, hn::Set(d, c)), hn::MulAdd(square, hn::Set(d, static_cast<T>(0.044715)), one));
  const V s = math::Sigmoid(d, twice_u);
  const V s_slope = hn::Mul(s, hn::Sub(one, s));
  const V u_slope = hn::Mul(hn::Set(d, c), hn::MulAdd(square, hn::Set(d, static_cast<T>(3 * 0.044715)), one));
  const V u_curvature = hn::Mul(near, hn::Set(d, static_cast<T>(6 * 0.044715) * c));
  const V first = hn::Mul(s_slope, u_slope);
  const V second = hn::MulAdd(hn::Mul(first, u_slope), hn::Sub(one, hn::Add(s, s)), hn::Mul(s_slope, u_curvature));
  return {hn::Mul(value_x, s), hn::MulAdd(near, first, s), hn::MulAdd(near, second, hn::Add(first, first))};
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard, by target
