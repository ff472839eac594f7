// What the delta rule's forward and backward kernels share: the steps of one chunk among themselves. Included once for
// each instruction set (hence no #pragma once).
//
// Within a chunk, with S_0 the state before it and D_ts what the decay makes of step s until step t:
//
//   u_t = v_t - D_t k_t S_0 - sum_{s<t} D_ts (k_t.k_s) e_s,  e_t = beta_t u_t      (I + M beta) u = v - D k S_0
//   y_t = D_t q_t S_0 + sum_{s<=t} D_ts (q_t.k_s) e_s                              y = D q S_0 + P e
//   S_n = D_n S_0 + sum_s D_ns k_s^T e_s
#if defined(ZOO_CPU_DELTA_RULE_CHUNK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_DELTA_RULE_CHUNK_INL_H_
#undef ZOO_CPU_DELTA_RULE_CHUNK_INL_H_
#else
#define ZOO_CPU_DELTA_RULE_CHUNK_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "zoo/core/pool.h"
#include "zoo/cpu/delta_rule.h"
#include "zoo/cpu/small_matmul-inl.h"
#include "zoo/cpu/vector_loop-inl.h"
#include "zoo/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE::delta {

namespace hn = hwy::HWY_NAMESPACE;

// Steps of a chunk.
constexpr std::int64_t chunk = 64;

// One head of one sequence: its rows of a tensor [B,T,H,width], and its state.
struct Head {
  const DeltaRuleSizes* sizes;
  std::int64_t sequence;
  std::int64_t head;

  template <typename Element>
  Rowwise<Element> steps(Element* tensor, std::int64_t first, std::int64_t width) const {
    return {tensor + ((sequence * sizes->length + first) * sizes->heads + head) * width, sizes->heads * width};
  }
  template <typename Element>
  Element* state(Element* tensor) const {
    return tensor + (sequence * sizes->heads + head) * sizes->dk * sizes->dv;
  }
};

// What the decays do within a chunk, as exponentials of differences of running sums: never quotients, so that decays
// that underflow are 0 and nothing overflows. The sums are in double, since a difference of large sums may be small.
template <typename T>
struct Decays {
  bool present = false;
  T whole = 1;                         // through the chunk
  alignas(64) T from_start[chunk];     // from the state before the chunk to step t
  alignas(64) T to_end[chunk];         // from step s to the state after the chunk
  alignas(64) T pairs[chunk * chunk];  // [t][s]: from step s to step t >= s; beyond, anything

  template <class D>
  HWY_INLINE void set(D d, std::int64_t n, const Rowwise<const T>& log_decay) {
    present = log_decay.data != nullptr;
    if (!present) {
      std::fill_n(from_start, n, T{1});
      std::fill_n(to_end, n, T{1});
      return;
    }
    constexpr double least = -1000;  // exp of which is 0
    double sums[chunk];
    double sum = 0;
    for (std::int64_t t = 0; t < n; ++t) {
      sum += std::max(static_cast<double>(log_decay.data[t * log_decay.stride]), least);
      sums[t] = sum;
    }
    for (std::int64_t t = 0; t < n; ++t) {
      from_start[t] = static_cast<T>(sums[t]);
      to_end[t] = static_cast<T>(sum - sums[t]);
      T* row = pairs + t * chunk;
      for (std::int64_t s = 0; s <= t; ++s) row[s] = static_cast<T>(sums[t] - sums[s]);
      exponentiate(d, t + 1, row);
    }
    exponentiate(d, n, from_start);
    exponentiate(d, n, to_end);
    whole = from_start[n - 1];
  }

 private:
  template <class D>
  static HWY_INLINE void exponentiate(D d, std::int64_t count, T* values) {
    for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
      part.store(math::Exp(d, part.load(d, values + i)), d, values + i);
    });
  }
};

// Of a product whose result [t][s] is needed for s <= t only: whole blocks of rows.
inline auto lower_columns(std::int64_t terms) {
  return [terms](std::int64_t t, std::int64_t rows) { return BlockRange{0, t + rows, 0, terms}; };
}
// Of a product with a lower triangular matrix, or with an upper one, on the left.
inline auto lower_terms(std::int64_t columns) {
  return [columns](std::int64_t t, std::int64_t rows) { return BlockRange{0, columns, 0, t + rows}; };
}
inline auto upper_terms(std::int64_t columns, std::int64_t n) {
  return [columns, n](std::int64_t s, std::int64_t) { return BlockRange{0, columns, s, n}; };
}

// matrix[t][s] times the decay from s to t, for s < t, or s <= t with the diagonal; 0 beyond.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void mask_and_decay(D d, std::int64_t n, bool diagonal, const Decays<T>& decays, T* matrix) {
  for (std::int64_t t = 0; t < n; ++t) {
    T* row = matrix + t * chunk;
    const std::int64_t count = diagonal ? t + 1 : t;
    if (decays.present) {
      const T* factors = decays.pairs + t * chunk;
      for_vectors(d, count, [&](std::int64_t s, auto part) HWY_ATTR {
        part.store(hn::Mul(part.load(d, row + s), part.load(d, factors + s)), d, row + s);
      });
    }
    std::fill_n(row + count, chunk - count, T{0});
  }
}

// Rows [first, first + rows) of the system below, for whole vectors but the last one.
template <int rows, int vectors, class D, class Last, typename T = hn::TFromD<D>>
HWY_INLINE void solve_block(D d, std::int64_t first, const Strided<T>& matrix, const T* factors, std::int64_t step,
                            const Rowwise<T>& u, const Rowwise<T>& e, const Last& last) {
  using V = hn::Vec<D>;
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  const auto load = [d, &last](const T* from, int j) HWY_ATTR {
    return j + 1 < vectors ? hn::LoadU(d, from + j * lanes) : last.load(d, from + j * lanes);
  };
  const auto store = [d, &last](V value, T* to, int j) HWY_ATTR {
    if (j + 1 < vectors) {
      hn::StoreU(value, d, to + j * lanes);
    } else {
      last.store(value, d, to + j * lanes);
    }
  };
  V sums[rows][vectors];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) sums[i][j] = load(u.data + (first + i) * u.stride, j);
  }
  const T* block = matrix.data + first * matrix.row;
  for (std::int64_t s = 0; s < first; ++s) {
    V known[vectors];
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) known[j] = load(e.data + s * e.stride, j);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const V factor = hn::Set(d, block[i * matrix.row + s * matrix.column]);
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) sums[i][j] = hn::NegMulAdd(factor, known[j], sums[i][j]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
    const V beta = hn::Set(d, factors[(first + i) * step]);
    V solved[vectors];
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) {
      solved[j] = hn::Mul(beta, sums[i][j]);
      store(sums[i][j], u.data + (first + i) * u.stride, j);
      store(solved[j], e.data + (first + i) * e.stride, j);
    }
#pragma GCC unroll 8
    for (int k = i + 1; k < rows; ++k) {
      const V factor = hn::Set(d, block[k * matrix.row + (first + i) * matrix.column]);
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) sums[k][j] = hn::NegMulAdd(factor, solved[j], sums[k][j]);
    }
  }
}

// Four rows at a time, and what is left.
template <int vectors, class D, class Last, typename T = hn::TFromD<D>>
HWY_NOINLINE void solve_columns(D d, std::int64_t n, const Strided<T>& matrix, const T* factors, std::int64_t step,
                                const Rowwise<T>& u, const Rowwise<T>& e, const Last& last) {
  constexpr int rows = vectors == 1 ? 8 : 4;
  std::int64_t first = 0;
  for (; first + rows <= n; first += rows) solve_block<rows, vectors>(d, first, matrix, factors, step, u, e, last);
  for (; first < n; ++first) solve_block<1, vectors>(d, first, matrix, factors, step, u, e, last);
}

// u_t - sum_{s<t} matrix(t, s) e_s for u_t and e_t = factors[t * step] u_t, one step after another: forward
// substitution, which stays exact where powers of the matrix would grow. u [n][width] holds the right-hand side before,
// and the result.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void solve(D d, std::int64_t n, std::int64_t width, const Strided<T>& matrix, const T* factors,
                      std::int64_t step, const Rowwise<T>& u, const Rowwise<T>& e) {
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  constexpr int most = 4;
  std::int64_t column = 0;
  const auto at = [&column](const Rowwise<T>& rows) { return Rowwise<T>{rows.data + column, rows.stride}; };
  for (; column + most * lanes <= width; column += most * lanes) {
    solve_columns<most>(d, n, matrix, factors, step, at(u), at(e), Whole{});
  }
  for (; column + lanes <= width; column += lanes) {
    solve_columns<1>(d, n, matrix, factors, step, at(u), at(e), Whole{});
  }
  if (column < width) {
    solve_columns<1>(d, n, matrix, factors, step, at(u), at(e), Part{static_cast<std::size_t>(width - column)});
  }
}

// Scratch memory of a thread for the steps of one chunk.
template <typename T>
struct Chunk {
  explicit Chunk(const DeltaRuleSizes& sizes)
      : rows(std::min(chunk, sizes.length)),
        k_transposed(static_cast<std::size_t>(sizes.dk * rows)),
        e(static_cast<std::size_t>(sizes.dv * rows)),
        scaled(static_cast<std::size_t>(sizes.dv * rows)),
        M(static_cast<std::size_t>(chunk * rows)),
        P(static_cast<std::size_t>(chunk * rows)) {}

  Rowwise<T> e_rows(std::int64_t dv) { return {e.data(), dv}; }
  Rowwise<T> k_columns() { return {k_transposed.data(), rows}; }

  std::int64_t rows;  // steps of the longest chunk
  T beta[chunk];
  Decays<T> decays;
  PoolVector<T> k_transposed;  // [channel][step]
  PoolVector<T> e;             // [step][channel]
  PoolVector<T> scaled;        // [step][channel]
  PoolVector<T> M;             // [t][s]
  PoolVector<T> P;             // [t][s]
};

// One chunk's inputs.
template <typename T>
struct Steps {
  Steps(const Head& head, const DeltaRuleInputs<T>& inputs, std::int64_t first)
      : n(std::min(chunk, head.sizes->length - first)),
        q(head.steps(inputs.q, first, head.sizes->dk)),
        k(head.steps(inputs.k, first, head.sizes->dk)),
        v(head.steps(inputs.v, first, head.sizes->dv)),
        beta(head.steps(inputs.beta, first, 1)),
        log_decay(inputs.log_decay == nullptr ? Rowwise<const T>{nullptr, 0} : head.steps(inputs.log_decay, first, 1)) {
  }

  std::int64_t n;
  Rowwise<const T> q;
  Rowwise<const T> k;
  Rowwise<const T> v;
  Rowwise<const T> beta;
  Rowwise<const T> log_decay;
};

// beta, the decays, k transposed, and M.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void prepare(D d, std::int64_t dk, const Steps<T>& steps, Chunk<T>& scratch) {
  for (std::int64_t t = 0; t < steps.n; ++t) scratch.beta[t] = steps.beta.data[t * steps.beta.stride];
  scratch.decays.set(d, steps.n, steps.log_decay);
  transpose(d, steps.n, dk, steps.k, scratch.k_columns());
  small_matmul_within<false>(d, steps.n, by_rows(steps.k), constant(scratch.k_columns()),
                             Rowwise<T>{scratch.M.data(), chunk}, lower_columns(dk));
  mask_and_decay(d, steps.n, /*diagonal=*/false, scratch.decays, scratch.M.data());
}

// P.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void query_scores(D d, std::int64_t dk, const Steps<T>& steps, Chunk<T>& scratch) {
  small_matmul_within<false>(d, steps.n, by_rows(steps.q), constant(scratch.k_columns()),
                             Rowwise<T>{scratch.P.data(), chunk}, lower_columns(dk));
  mask_and_decay(d, steps.n, /*diagonal=*/true, scratch.decays, scratch.P.data());
}

// u and, in scratch, e.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void solve_errors(D d, std::int64_t dk, std::int64_t dv, const Steps<T>& steps, const T* state, bool zero,
                             Chunk<T>& scratch, const Rowwise<T>& u) {
  if (!zero) small_matmul<false>(d, steps.n, dv, dk, by_rows(steps.k), Rowwise<const T>{state, dv}, u);
  for (std::int64_t t = 0; t < steps.n; ++t) {
    const T* v = steps.v.data + t * steps.v.stride;
    T* row = u.data + t * u.stride;
    if (zero) {
      std::copy_n(v, dv, row);
      continue;
    }
    const auto decay = hn::Set(d, scratch.decays.from_start[t]);
    for_vectors(d, dv, [&](std::int64_t j, auto part) HWY_ATTR {
      part.store(hn::NegMulAdd(decay, part.load(d, row + j), part.load(d, v + j)), d, row + j);
    });
  }
  solve(d, steps.n, dv, Strided<T>{scratch.M.data(), chunk, 1}, scratch.beta, 1, u, scratch.e_rows(dv));
}

// state = D_n state + sum_s D_ns k_s^T e_s.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void advance(D d, std::int64_t dk, std::int64_t dv, std::int64_t n, Chunk<T>& scratch, T* state) {
  Rowwise<const T> e = constant(scratch.e_rows(dv));
  if (scratch.decays.present) {
    scale_rows(d, n, dv, scratch.decays.to_end, e, Rowwise<T>{scratch.scaled.data(), dv});
    e.data = scratch.scaled.data();
    const auto whole = hn::Set(d, scratch.decays.whole);
    for_vectors(d, dk * dv, [&](std::int64_t i, auto part) HWY_ATTR {
      part.store(hn::Mul(part.load(d, state + i), whole), d, state + i);
    });
  }
  small_matmul<true>(d, dk, dv, n, by_rows(constant(scratch.k_columns())), e, Rowwise<T>{state, dv});
}

}  // namespace zoo::cpu::HWY_NAMESPACE::delta
HWY_AFTER_NAMESPACE();

#endif  // include guard, by target
