// What the recurrence's forward and backward kernels share: the steps of one chunk among themselves, and their way
// through the state. Included once for each instruction set (hence no #pragma once).
#if defined(ZOO_CPU_LINEAR_RECURRENCE_CHUNK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_LINEAR_RECURRENCE_CHUNK_INL_H_
#undef ZOO_CPU_LINEAR_RECURRENCE_CHUNK_INL_H_
#else
#define ZOO_CPU_LINEAR_RECURRENCE_CHUNK_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "zoo/core/pool.h"
#include "zoo/cpu/linear_recurrence.h"
#include "zoo/cpu/small_matmul-inl.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Steps of a chunk.
constexpr std::int64_t chunk = 64;

// What a head's decay does within a chunk of n steps, as products of decays from one step to another: never quotients,
// so that powers that underflow are 0 and nothing overflows. A decay of each step would fill the same tables from
// running sums of its logarithm; one of each key channel would scale q and k by them.
template <typename T>
class ChunkDecay {
 public:
  explicit ChunkDecay(const T* decay) : present_(decay != nullptr) {
    T power = 1;
    for (std::int64_t lag = 0; lag <= chunk; ++lag) {
      lags_[chunk + lag] = power;
      if (present_) power *= *decay;
    }
  }

  bool present() const { return present_; }
  // From step s to step t, at [t]; 0 where t < s.
  const T* from(std::int64_t s) const { return lags_ + chunk - s; }
  // From the state before the chunk to step t, at [t].
  const T* from_start() const { return lags_ + chunk + 1; }
  // From step s of n to the state after the chunk, at [s].
  void to_end(std::int64_t n, T* factors) const {
    for (std::int64_t s = 0; s < n; ++s) factors[s] = lags_[chunk + n - 1 - s];
  }
  // Through the whole chunk of n steps.
  T whole(std::int64_t n) const { return lags_[chunk + n]; }

 private:
  bool present_;
  alignas(64) T lags_[3 * chunk] = {};  // [chunk + lag]
};

// Scratch memory of a thread.
template <typename T>
struct Scratch {
  Scratch(const RecurrenceSizes& sizes, bool backward)
      : transposed(static_cast<std::size_t>(std::max(sizes.dk, sizes.dv) * chunk)),
        scaled(static_cast<std::size_t>(std::max(sizes.dk, sizes.dv) * chunk)),
        scores(chunk * chunk),
        state(static_cast<std::size_t>(backward ? sizes.dk * sizes.dv : 0)) {}

  PoolVector<T> transposed;  // [channel][step]
  PoolVector<T> scaled;      // [step][channel]
  PoolVector<T> scores;      // [s][t]
  PoolVector<T> state;       // transposed: [dv][dk]
};

// One head of one sequence: its rows of a tensor [B,T,H,width], and its state.
struct Head {
  const RecurrenceSizes* sizes;
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

// scores[s][t] = decay(s to t) a_s . b_t for s <= t < n, else 0, in whole vectors of t.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void causal_scores(D d, std::int64_t n, std::int64_t channels, const Rowwise<const T>& a,
                              const Rowwise<const T>& b, const ChunkDecay<T>& decay, Scratch<T>& scratch) {
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  T* b_transposed = scratch.transposed.data();
  T* scores = scratch.scores.data();
  transpose(d, n, channels, b, Rowwise<T>{b_transposed, chunk});
  const std::int64_t padded = (n + lanes - 1) / lanes * lanes;
  small_matmul_within<false>(d, n, Strided<T>{a.data, a.stride, 1}, Rowwise<const T>{b_transposed, chunk},
                             Rowwise<T>{scores, chunk}, [padded, channels](std::int64_t s, std::int64_t) {
                               return BlockRange{s / lanes * lanes, padded, 0, channels};
                             });
  for (std::int64_t s = 0; s < n; ++s) {
    const T* factors = decay.from(s);
    T* row = scores + s * chunk;
    std::int64_t t = 0;
    for (; t + lanes <= s; t += lanes) hn::StoreU(hn::Zero(d), d, row + t);
    for (; t < padded; t += lanes) {
      // By selection: a step to come may be infinite, and 0 times it would not be 0.
      const auto factor = hn::LoadU(d, factors + t);
      const auto seen = hn::Gt(factor, hn::Zero(d));
      hn::StoreU(hn::IfThenElseZero(seen, hn::Mul(hn::LoadU(d, row + t), factor)), d, row + t);
    }
  }
}

// result[t] += sum_{s <= t} scores[s][t] values[s].
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void add_past(D d, std::int64_t n, std::int64_t channels, const T* scores, const Rowwise<const T>& values,
                         const Rowwise<T>& result) {
  small_matmul_within<true>(d, n, Strided<T>{scores, 1, chunk}, values, result,
                            [channels](std::int64_t t, std::int64_t rows) {
                              return BlockRange{0, channels, 0, t + rows};
                            });
}

// result[s] += sum_{t >= s} scores[s][t] values[t].
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void add_future(D d, std::int64_t n, std::int64_t channels, const T* scores, const Rowwise<const T>& values,
                           const Rowwise<T>& result) {
  small_matmul_within<true>(d, n, Strided<T>{scores, chunk, 1}, values, result,
                            [channels, n](std::int64_t s, std::int64_t) {
                              return BlockRange{0, channels, s, n};
                            });
}

// result = diag(factors) rows state, or 0 while the state is 0. state [in][out].
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void through_state(D d, std::int64_t n, std::int64_t in, std::int64_t out, const Rowwise<const T>& rows,
                              const T* state, bool zero, const T* factors, const Rowwise<T>& result) {
  if (zero) {
    for (std::int64_t i = 0; i < n; ++i) std::fill_n(result.data + i * result.stride, out, T{0});
    return;
  }
  small_matmul<false>(d, n, out, in, Strided<T>{rows.data, rows.stride, 1}, Rowwise<const T>{state, out}, result);
  if (factors != nullptr) scale_rows(d, n, out, factors, Rowwise<const T>{result.data, result.stride}, result);
}

// state = whole * state + sum_i a_i (factors[i] b_i)^T. state [a_width][b_width].
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void advance_state(D d, std::int64_t n, std::int64_t a_width, std::int64_t b_width,
                              const Rowwise<const T>& a, const Rowwise<const T>& b, const T* factors, T whole,
                              Scratch<T>& scratch, T* state) {
  Rowwise<const T> values = b;
  if (factors != nullptr) {
    for_vectors(d, a_width * b_width, [&](std::int64_t i, auto part) HWY_ATTR {
      part.store(hn::Mul(part.load(d, state + i), hn::Set(d, whole)), d, state + i);
    });
    scale_rows(d, n, b_width, factors, b, Rowwise<T>{scratch.scaled.data(), b_width});
    values = {scratch.scaled.data(), b_width};
  }
  small_matmul<true>(d, a_width, b_width, n, Strided<T>{a.data, 1, a.stride}, values, Rowwise<T>{state, b_width});
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // ZOO_CPU_LINEAR_RECURRENCE_CHUNK_INL_H_
