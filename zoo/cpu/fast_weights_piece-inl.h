// What the fast weights' forward and backward kernels share: the arithmetic of a piece, the tokens of one mini-batch
// that are processed at once. Included once for each instruction set (hence no #pragma once).
#if defined(ZOO_CPU_FAST_WEIGHTS_PIECE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_FAST_WEIGHTS_PIECE_INL_H_
#undef ZOO_CPU_FAST_WEIGHTS_PIECE_INL_H_
#else
#define ZOO_CPU_FAST_WEIGHTS_PIECE_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "zoo/cpu/fast_weights_record-inl.h"
#include "zoo/cpu/fast_weights_rows-inl.h"
#include "zoo/cpu/small_matmul-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// The gradients of the loss for a piece's tokens, at the weights of the mini-batch's start.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void take_gradients(D d, const HeadNorm<T>& norm, const Tokens<T>& tokens, std::size_t L,
                                 const FastMaps<T>& maps, FastWeightsScratch<T>& scratch, Record<T>& record) {
  const std::int64_t n = tokens.piece.n;
  for (std::size_t l = 0; l < L; ++l) {
    MapRecord<T>& map = record.maps[l];
    const bool last = l + 1 == L;
    T* z = last ? record.x_normal : record.maps[l + 1].x;
    small_matmul<false>(d, n, map.out, map.in, by_rows(tokens.x(record, l)), constant(maps[l].W, map.out),
                        Rowwise<T>{z, map.out});
    add_to_rows(d, n, map.out, static_cast<const T*>(maps[l].b), z);
    if (last) break;
    for_vectors(d, n * map.out, [&](std::int64_t i, auto part) HWY_ATTR {
      const auto activation = gelu(d, part.load(d, z + i));
      part.store(activation.value, d, z + i);
      part.store(activation.slope, d, map.slope + i);
      if (record.keeps) part.store(activation.curvature, d, map.curvature + i);
    });
  }
  for (std::int64_t j = 0; j < n; ++j) {
    T* row = record.x_normal + j * norm.count;
    record.x_inverse[j] = normalise_row(d, norm, row);
    loss_gradient_row(d, norm, row, record.x_inverse[j], tokens.k.data + j * tokens.k.stride,
                      tokens.v.data + j * tokens.v.stride, record.maps[L - 1].gradient + j * norm.count);
  }
  for (std::size_t l = L; l-- > 0;) {
    MapRecord<T>& map = record.maps[l];
    for (std::int64_t j = 0; j < n; ++j) {
      const T eta = tokens.eta[j * tokens.eta_step];
      scale_rows(d, 1, map.out, &eta, constant(map.gradient + j * map.out, map.out),
                 Rowwise<T>{map.weighted + j * map.out, map.out});
    }
    if (map.W != nullptr) std::copy_n(maps[l].W, map.in * map.out, map.W);
    if (l == 0) break;
    MapRecord<T>& below = record.maps[l - 1];
    T* transposed = scratch.transposed.data();
    transpose(d, n, map.out, constant<T>(map.gradient, map.out), Rowwise<T>{transposed, n});
    through_transpose<D>(d, n, map.in, map.out, transposed, maps[l].W, scratch.rows.data(),
                         Rowwise<T>{below.gradient, map.in});
    for_vectors(d, n * map.in, [&](std::int64_t i, auto part) HWY_ATTR {
      const auto back = part.load(d, below.gradient + i);
      if (record.keeps) part.store(hn::Mul(back, part.load(d, below.curvature + i)), d, below.curvature + i);
      part.store(hn::Mul(back, part.load(d, below.slope + i)), d, below.gradient + i);
    });
  }
}

/// z of a piece's tokens, through the weights that each of them meets.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void read_out(D d, const HeadNorm<T>& norm, const Tokens<T>& tokens, std::size_t L,
                           const FastMaps<T>& maps, FastWeightsScratch<T>& scratch, Record<T>& record,
                           const Rowwise<T>& z) {
  const std::int64_t n = tokens.piece.n;
  for (std::size_t l = 0; l < L; ++l) {
    MapRecord<T>& map = record.maps[l];
    const bool last = l + 1 == L, begun = tokens.piece.index > 0;
    const Rowwise<const T> y = tokens.y(record, l);
    const Rowwise<T> learned{map.learned, map.out};
    causal_products(d, n, map.in, y, tokens.x(record, l), T{1}, scratch, map.scores);
    sum_past<false>(d, n, map.out, map.scores, constant<T>(map.weighted, map.out), learned);
    if (begun) {
      if (map.W_sum != nullptr) {
        std::copy_n(maps[l].W_sum, map.in * map.out, map.W_sum);
        std::copy_n(maps[l].b_sum, map.out, map.b_sum);
      }
      small_matmul<true>(d, n, map.out, map.in, by_rows(y), constant<T>(maps[l].W_sum, map.out), learned);
      add_to_rows(d, n, map.out, static_cast<const T*>(maps[l].b_sum), map.learned);
    }
    T* result = last ? record.y_normal : record.maps[l + 1].y;
    small_matmul<false>(d, n, map.out, map.in, by_rows(y), constant<T>(maps[l].W, map.out),
                        Rowwise<T>{result, map.out});
    for (std::int64_t i = 0; i < n; ++i) {
      const auto scale = hn::Set(d, tokens.scale[i]);
      T* row = result + i * map.out;
      for_vectors(d, map.out, [&](std::int64_t c, auto part) HWY_ATTR {
        const auto start = hn::Add(part.load(d, row + c), part.load(d, maps[l].b + c));
        const auto now = hn::NegMulAdd(scale, part.load(d, map.learned + i * map.out + c), start);
        if (last) return part.store(now, d, row + c);
        const auto activation = gelu(d, now);
        part.store(activation.value, d, row + c);
        if (record.keeps) part.store(activation.slope, d, map.y_slope + i * map.out + c);
      });
    }
  }
  for (std::int64_t i = 0; i < n; ++i) {
    T* row = record.y_normal + i * norm.count;
    record.y_inverse[i] = normalise_row(d, norm, row);
    if (z.data != nullptr) {
      read_out_row(d, norm, row, tokens.q.data + i * tokens.q.stride, z.data + i * z.stride);
    }
  }
}

/// The sums, or at a mini-batch's end the weights, behind a piece.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void advance(D d, const Tokens<T>& tokens, std::size_t L, const Record<T>& record,
                          FastWeightsScratch<T>& scratch, const FastMaps<T>& maps) {
  const std::int64_t n = tokens.piece.n;
  const bool begun = tokens.piece.index > 0, ends = tokens.piece.ends;
  const T scale = -tokens.scale[n - 1];
  for (std::size_t l = 0; l < L; ++l) {
    const MapRecord<T>& map = record.maps[l];
    const Strided<T> x = by_columns(tokens.x(record, l));
    if (ends && !begun) {
      T* scaled = scratch.rows.data();
      scale_rows(d, 1, n * map.out, &scale, constant<T>(map.weighted, 0), Rowwise<T>{scaled, 0});
      small_matmul<true>(d, map.in, map.out, n, x, constant<T>(scaled, map.out), Rowwise<T>{maps[l].W, map.out});
      add_rows_to(d, n, map.out, T{1}, static_cast<const T*>(scaled), maps[l].b);
      continue;
    }
    small_matmul<true>(d, map.in, map.out, n, x, constant<T>(map.weighted, map.out),
                       Rowwise<T>{maps[l].W_sum, map.out});
    add_rows_to(d, n, map.out, T{1}, static_cast<const T*>(map.weighted), maps[l].b_sum);
    if (!ends) continue;
    add_scaled(d, map.in * map.out, scale, static_cast<const T*>(maps[l].W_sum), maps[l].W);
    add_scaled(d, map.out, scale, static_cast<const T*>(maps[l].b_sum), maps[l].b);
    std::fill_n(maps[l].W_sum, map.in * map.out, T{0});
    std::fill_n(maps[l].b_sum, map.out, T{0});
  }
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard, by target
