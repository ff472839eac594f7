// The chunk of a recurrence whose decay belongs to a head. Included once for each instruction set (hence no #pragma
// once).
#if defined(ZOO_CPU_LINEAR_RECURRENCE_HEAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_LINEAR_RECURRENCE_HEAD_INL_H_
#undef ZOO_CPU_LINEAR_RECURRENCE_HEAD_INL_H_
#else
#define ZOO_CPU_LINEAR_RECURRENCE_HEAD_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "hwy/highway.h"
#include "zoo/cpu/linear_recurrence.h"
#include "zoo/cpu/linear_recurrence_chunk-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// What a head's decay does within a chunk of n steps, as products of decays, never quotients: what underflows is 0, and
// nothing overflows. Through the whole chunk it is the exponential of a sum, so that rounding errors of the products,
// which are short, do not grow with the length of the sequence.
template <typename T>
class HeadDecay {
 public:
  // `item` counts the heads of all sequences.
  void fill(const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs, std::int64_t sequence, std::int64_t head,
            std::int64_t first, std::int64_t n) {
    const bool of_step = inputs.decay == RecurrenceDecay::head_and_step;
    steps_present_ = inputs.step != nullptr;
    if (!of_step && head == head_ && n == n_) return;
    head_ = head;
    n_ = n;
    present_ = inputs.decay != RecurrenceDecay::none;
    if (!present_) {
      for (std::int64_t t = 0; t < n; ++t) fill_row(t, T{1});
      from_start_[0] = whole_ = 1;
    } else {
      const T* log_decay = inputs.log_decay + (of_step ? (sequence * sizes.length + first) * sizes.heads + head : head);
      double sum = 0;
      for (std::int64_t t = 0; t < n; ++t) {
        const double logarithm = static_cast<double>(log_decay[of_step ? t * sizes.heads : 0]);
        sum += logarithm;
        const T factor = static_cast<T>(std::exp(logarithm));
        fill_row(t, factor);
        from_start_[t] = t == 0 ? factor : from_start_[t - 1] * factor;
      }
      whole_ = static_cast<T>(std::exp(sum));
    }
    if (!steps_present_) return;
    const T* step = inputs.step + (sequence * sizes.length + first) * sizes.heads + head;
    for (std::int64_t t = 0; t < n; ++t) {
      steps_[t] = step[t * sizes.heads];
      written_[t] = to(n - 1)[t] * steps_[t];
    }
  }

  // Whether there is a decay; without one all factors are 1.
  bool present() const { return present_; }
  // From step s to step t, at [s]; 0 where s > t.
  const T* to(std::int64_t t) const { return table_ + t * head_chunk; }
  // From the state before the chunk to each step; nullptr without a decay.
  const T* from_start() const { return present_ ? from_start_ : nullptr; }
  // From each step to the state after the chunk; nullptr without a decay.
  const T* to_end() const { return present_ ? to(n_ - 1) : nullptr; }
  // The factors on values, dt; nullptr without.
  const T* steps() const { return steps_present_ ? steps_ : nullptr; }
  // What of each value reaches the state after the chunk: steps times to_end; nullptr without either.
  const T* written() const { return steps_present_ ? written_ : to_end(); }
  // Through the whole chunk.
  T whole() const { return whole_; }

 private:
  void fill_row(std::int64_t t, T factor) {
    const hn::ScalableTag<T> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    for (std::int64_t s = 0; s < head_chunk; s += lanes) {
      const auto before = t == 0 ? hn::Zero(d) : hn::LoadU(d, to(t - 1) + s);
      const auto own = hn::Eq(hn::Iota(d, static_cast<T>(s)), hn::Set(d, static_cast<T>(t)));
      hn::StoreU(hn::IfThenElse(own, hn::Set(d, T{1}), hn::Mul(before, hn::Set(d, factor))), d,
                 table_ + t * head_chunk + s);
    }
  }

  bool present_ = false;
  std::int64_t head_ = -1;
  std::int64_t n_ = 0;
  T whole_ = 1;
  alignas(64) T table_[head_chunk * head_chunk];
  alignas(64) T from_start_[head_chunk];
  bool steps_present_ = false;
  alignas(64) T steps_[head_chunk] = {};
  alignas(64) T written_[head_chunk];
};

// products[t][s] = a_t . b_s for s <= t < n, in whole vectors of s; `transposed` is scratch of channels * head_chunk.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void past_products(D d, std::int64_t n, std::int64_t channels, const Rowwise<const T>& a,
                              const Rowwise<const T>& b, T* transposed, T* products) {
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  const Rowwise<T> b_transposed{transposed, head_chunk};
  transpose(d, n, channels, b, b_transposed);
  small_matmul_within<false>(d, n, by_rows(a), constant(b_transposed), Rowwise<T>{products, head_chunk},
                             [channels](std::int64_t t, std::int64_t rows) {
                               const std::int64_t end = (t + rows + lanes - 1) / lanes * lanes;
                               return BlockRange{0, end, 0, channels};
                             });
}

// scores[t][s] = decay(s to t) products[t][s], times steps[s] where there are steps, and 0 for s > t as far as add_past
// and add_future read, in whole vectors of s.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void decayed_scores(D d, std::int64_t n, const HeadDecay<T>& decay, const T* steps, const T* products,
                               T* scores) {
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  for (std::int64_t t = 0; t < n; ++t) {
    const T* factors = decay.to(t);
    const std::int64_t end = std::min(n, t + block_rows);
    for (std::int64_t s = 0; s < end; s += lanes) {
      // By selection: a step to come may be infinite, and 0 times it would not be 0.
      const auto factor = hn::LoadU(d, factors + s);
      auto product = hn::Mul(hn::LoadU(d, products + t * head_chunk + s), factor);
      if (steps != nullptr) product = hn::Mul(product, hn::LoadU(d, steps + s));
      hn::StoreU(hn::IfThenElseZero(hn::Gt(factor, hn::Zero(d)), product), d, scores + t * head_chunk + s);
    }
  }
}

// to += factor * from.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void add_scaled_rows(D d, std::int64_t rows, std::int64_t columns, T factor, const Rowwise<const T>& from,
                                const Rowwise<T>& to) {
  const auto by = hn::Set(d, factor);
  for (std::int64_t i = 0; i < rows; ++i) {
    const T* source = from.data + i * from.stride;
    T* target = to.data + i * to.stride;
    for_vectors(d, columns, [&](std::int64_t j, auto part) HWY_ATTR {
      part.store(hn::MulAdd(by, part.load(d, source + j), part.load(d, target + j)), d, target + j);
    });
  }
}

// state = whole * state + sum_i a_i (factors[i] b_i)^T. state [a_width][b_width]; `scaled` is scratch of n * b_width.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void advance_state(D d, std::int64_t n, std::int64_t a_width, std::int64_t b_width,
                              const Rowwise<const T>& a, const Rowwise<const T>& b, const T* factors, T whole,
                              T* scaled, T* state) {
  Rowwise<const T> values = b;
  if (factors != nullptr) {
    for_vectors(d, a_width * b_width, [&](std::int64_t i, auto part) HWY_ATTR {
      part.store(hn::Mul(part.load(d, state + i), hn::Set(d, whole)), d, state + i);
    });
    scale_rows(d, n, b_width, factors, b, Rowwise<T>{scaled, b_width});
    values = {scaled, b_width};
  }
  small_matmul<true>(d, a_width, b_width, n, by_columns(a), values, Rowwise<T>{state, b_width});
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // ZOO_CPU_LINEAR_RECURRENCE_HEAD_INL_H_
