// The chunk of a recurrence whose decay belongs to each key channel. Included once for each instruction set (hence no
// #pragma once).
#if defined(ZOO_CPU_LINEAR_RECURRENCE_CHANNEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_LINEAR_RECURRENCE_CHANNEL_INL_H_
#undef ZOO_CPU_LINEAR_RECURRENCE_CHANNEL_INL_H_
#else
#define ZOO_CPU_LINEAR_RECURRENCE_CHANNEL_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "zoo/core/pool.h"
#include "zoo/cpu/linear_recurrence.h"
#include "zoo/cpu/linear_recurrence_chunk-inl.h"
#include "zoo/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// One head of one sequence. Queries and keys are read by group; the gradients have a set of heads of its own.
struct ChannelHead {
  ChannelHead(const RecurrenceSizes& sizes, std::int64_t head_set, std::int64_t member)
      : set(sizes, head_set), head(set.first_head + member) {}

  template <typename T>
  Rowwise<const T> q(const RecurrenceInputs<T>& inputs, std::int64_t first) const {
    return set.group_steps(inputs.q, first);
  }
  template <typename T>
  Rowwise<const T> k(const RecurrenceInputs<T>& inputs, std::int64_t first) const {
    return set.group_steps(inputs.k, first);
  }
  // Of a tensor [B,T,H,dk]: log decays and their gradients.
  template <typename Element>
  Rowwise<Element> decays(Element* tensor, std::int64_t first) const {
    return set.steps(tensor, first, set.sizes->heads, head, set.sizes->dk);
  }
  template <typename T>
  const T* bonus(const RecurrenceInputs<T>& inputs) const {
    return inputs.bonus == nullptr ? nullptr : inputs.bonus + head * set.sizes->dk;
  }

  HeadSet set;
  std::int64_t head;
};

// The decays of a chunk, and queries and keys with what decays them on their way from and to the chunk's ends. All are
// products of decays, never quotients: what underflows is 0, and nothing overflows. Through the whole chunk it is the
// exponential of a sum, so that rounding errors of the products, which are short, do not grow with the length of the
// sequence. Rows of dk channels.
template <typename T>
struct ChannelChunk {
  explicit ChannelChunk(std::int64_t dk) : width(dk) {
    for (PoolVector<T>* each : {&decay, &from_start, &to_end, &queries, &keys}) {
      each->resize(static_cast<std::size_t>(channel_chunk * dk));
    }
    whole.resize(static_cast<std::size_t>(dk));
  }

  Rowwise<const T> rows(const PoolVector<T>& table) const { return {table.data(), width}; }

  std::int64_t width;
  PoolVector<T> decay;       // of step t
  PoolVector<T> from_start;  // from the state before the chunk to what step t reads
  PoolVector<T> to_end;      // from step s to the state after the chunk
  PoolVector<T> queries;     // q * from_start
  PoolVector<T> keys;        // k * to_end
  PoolVector<T> whole;       // through the chunk
};

// Fills the chunk; without queries (nullptr) only what the state after it needs. With `before`, step t reads the state
// before it is updated.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void fill_chunk(D d, std::int64_t n, const Rowwise<const T>& log_decay, const Rowwise<const T>& q,
                             const Rowwise<const T>& k, bool before, ChannelChunk<T>& chunk) {
  const std::int64_t dk = chunk.width;
  for_vectors(d, dk, [&](std::int64_t c, auto part) HWY_ATTR {
    auto sum = hn::Zero(d);
    auto product = hn::Set(d, T{1});
    for (std::int64_t t = 0; t < n; ++t) {
      const auto logarithm = part.load(d, log_decay.data + t * log_decay.stride + c);
      const auto decay = math::Exp(d, logarithm);
      sum = hn::Add(sum, logarithm);
      part.store(decay, d, chunk.decay.data() + t * dk + c);
      if (q.data == nullptr) continue;
      const auto updated = hn::Mul(product, decay);
      const auto from_start = before ? product : updated;
      product = updated;
      part.store(from_start, d, chunk.from_start.data() + t * dk + c);
      part.store(hn::Mul(from_start, part.load(d, q.data + t * q.stride + c)), d, chunk.queries.data() + t * dk + c);
    }
    part.store(math::Exp(d, sum), d, chunk.whole.data() + c);
    auto to_end = hn::Set(d, T{1});
    for (std::int64_t s = n - 1; s >= 0; --s) {
      part.store(to_end, d, chunk.to_end.data() + s * dk + c);
      part.store(hn::Mul(to_end, part.load(d, k.data + s * k.stride + c)), d, chunk.keys.data() + s * dk + c);
      to_end = hn::Mul(to_end, part.load(d, chunk.decay.data() + s * dk + c));
    }
  });
}

// Scratch of channel_scores.
template <typename T>
struct ChannelScoresScratch {
  explicit ChannelScoresScratch(std::int64_t dk)
      : k_transposed(static_cast<std::size_t>(dk * channel_chunk)),
        q_padded(static_cast<std::size_t>(dk * channel_chunk)) {}

  PoolVector<T> k_transposed;  // [channel][step]
  PoolVector<T> q_padded;      // [step][channel]
};

// Adds up, over the channels, q_t k_s times the decays between them, for the keys of a vector from s on and all t,
// while each key's decays are multiplied on.
template <bool before, class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void key_vector_scores(D d, std::int64_t dk, const Rowwise<const T>& q, const T* k_transposed,
                                    const T* decay, std::int64_t s, T* scores) {
  using V = hn::Vec<D>;
  constexpr auto steps = static_cast<int>(channel_chunk);
  V sums[steps];
  const T* q_rows[steps];
#pragma GCC unroll 16
  for (int t = 0; t < steps; ++t) {
    sums[t] = hn::Zero(d);
    q_rows[t] = q.data + t * q.stride;
  }
  const auto positions = hn::Iota(d, static_cast<T>(s));
  for (std::int64_t c = 0; c < dk; ++c) {
    V keys = hn::LoadU(d, k_transposed + c * channel_chunk + s);
#pragma GCC unroll 16
    for (int t = 0; t < steps; ++t) {
      const auto earlier = hn::Lt(positions, hn::Set(d, static_cast<T>(t)));
      if (before) sums[t] = hn::MulAdd(keys, hn::Set(d, q_rows[t][c]), sums[t]);
      keys = hn::IfThenElse(earlier, hn::Mul(keys, hn::Set(d, decay[t * dk + c])), keys);
      if (!before) sums[t] = hn::MulAdd(keys, hn::Set(d, q_rows[t][c]), sums[t]);
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < steps; ++t) hn::StoreU(sums[t], d, scores + t * channel_chunk + s);
}

// sum_c a[c] b[c] u[c], or without u.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE T weighted_dot(D d, std::int64_t count, const T* a, const T* b, const T* u) {
  auto sum = hn::Zero(d);
  for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
    const auto product = hn::Mul(part.load(d, a + i), part.load(d, b + i));
    sum = hn::Add(sum, u == nullptr ? product : hn::Mul(product, part.load(d, u + i)));
  });
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

// scores[t][s] for s <= t < n: q_t . k_s with the decays between them; with a bonus u, those between s and t - 1, and u
// in their place for s = t.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void channel_scores(D d, std::int64_t n, const Rowwise<const T>& q, const Rowwise<const T>& k,
                               const ChannelChunk<T>& chunk, const T* bonus, ChannelScoresScratch<T>& scratch,
                               T* scores) {
  const std::int64_t dk = chunk.width;
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  static_assert(lanes <= channel_chunk);
  if (n > 1) {
    Rowwise<const T> all_q = q;
    T* k_transposed = scratch.k_transposed.data();
    if (n < channel_chunk) {
      std::fill(scratch.k_transposed.begin(), scratch.k_transposed.end(), T{0});
      std::fill(scratch.q_padded.begin(), scratch.q_padded.end(), T{0});
      for (std::int64_t t = 0; t < n; ++t) std::copy_n(q.data + t * q.stride, dk, scratch.q_padded.data() + t * dk);
      all_q = {scratch.q_padded.data(), dk};
    }
    transpose(d, n, dk, k, Rowwise<T>{k_transposed, channel_chunk});
    for (std::int64_t s = 0; s < n; s += lanes) {
      if (bonus == nullptr) {
        key_vector_scores<false>(d, dk, all_q, k_transposed, chunk.decay.data(), s, scores);
      } else {
        key_vector_scores<true>(d, dk, all_q, k_transposed, chunk.decay.data(), s, scores);
      }
    }
  }
  if (n > 1 && bonus == nullptr) return;
  for (std::int64_t t = 0; t < n; ++t) {
    scores[t * channel_chunk + t] = weighted_dot(d, dk, q.data + t * q.stride, k.data + t * k.stride, bonus);
  }
}

// state = diag(whole) state + sum_i a_i b_i^T. state [dk][dv].
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void advance_rows(D d, std::int64_t n, std::int64_t dk, std::int64_t dv, const Rowwise<const T>& a,
                             const Rowwise<const T>& b, const T* whole, T* state) {
  scale_rows(d, dk, dv, whole, Rowwise<const T>{state, dv}, Rowwise<T>{state, dv});
  small_matmul<true>(d, dk, dv, n, by_columns(a), b, Rowwise<T>{state, dv});
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // ZOO_CPU_LINEAR_RECURRENCE_CHANNEL_INL_H_
