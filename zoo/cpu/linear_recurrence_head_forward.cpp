#include "zoo/cpu/linear_recurrence.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/linear_recurrence_head_forward.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/linear_recurrence_chunk-inl.h"
#include "zoo/cpu/linear_recurrence_head-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

namespace {

template <typename T>
struct ForwardScratch {
  explicit ForwardScratch(const RecurrenceSizes& sizes)
      : transposed(static_cast<std::size_t>(sizes.dk * head_chunk)),
        scaled(static_cast<std::size_t>(sizes.dv * head_chunk)),
        products(head_chunk * head_chunk),
        scores(head_chunk * head_chunk) {}

  PoolVector<T> transposed;  // [channel][step]
  PoolVector<T> scaled;      // [step][channel]
  PoolVector<T> products;    // [t][s]
  PoolVector<T> scores;      // [t][s]
  HeadDecay<T> decay;
};

// One chunk of one head, given the products of its queries and keys.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void forward_chunk(D d, const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                                const RecurrenceOutputs<T>& outputs, const HeadSet& set, std::int64_t head,
                                std::int64_t first, std::int64_t n, bool zero, ForwardScratch<T>& scratch) {
  const Rowwise<const T> q = set.group_steps(inputs.q, first), k = set.group_steps(inputs.k, first);
  const Rowwise<const T> v = set.head_steps(inputs.v, first, head);
  const Rowwise<T> y = set.head_steps(outputs.y, first, head);
  T* state = set.state(outputs.state, head);
  HeadDecay<T>& decay = scratch.decay;
  decay.fill(sizes, inputs, set.sequence, head, first, n);
  decayed_scores(d, n, decay, decay.steps(), scratch.products.data(), scratch.scores.data());
  through_state(d, n, sizes.dk, sizes.dv, q, state, zero, decay.from_start(), y);
  add_past(d, n, sizes.dv, Rowwise<const T>{scratch.scores.data(), head_chunk}, v, y);
  if (inputs.skip != nullptr) add_scaled_rows(d, n, sizes.dv, inputs.skip[head], v, y);
  advance_state(d, n, sizes.dk, sizes.dv, k, v, decay.written(), decay.whole(), scratch.scaled.data(), state);
}

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void forward_set(D d, const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                              const RecurrenceOutputs<T>& outputs, const HeadSet& set, ForwardScratch<T>& scratch) {
  const std::int64_t cells = sizes.dk * sizes.dv;
  bool zero = true;
  for (std::int64_t head = set.first_head; head < set.end_head; ++head) {
    T* state = set.state(outputs.state, head);
    std::copy_n(set.state(inputs.initial, head), cells, state);
    zero = zero && all_zero(state, cells);
  }
  for (std::int64_t first = 0; first < sizes.length; first += head_chunk) {
    const std::int64_t n = std::min(head_chunk, sizes.length - first);
    past_products(d, n, sizes.dk, set.group_steps(inputs.q, first), set.group_steps(inputs.k, first),
                  scratch.transposed.data(), scratch.products.data());
    for (std::int64_t head = set.first_head; head < set.end_head; ++head) {
      if (first > 0 && first % head_segment == 0) {
        std::copy_n(set.state(outputs.state, head), cells,
                    set.checkpoint(outputs.checkpoints, first / head_segment, head));
      }
      forward_chunk(d, sizes, inputs, outputs, set, head, first, n, zero, scratch);
    }
    zero = false;
  }
}

template <typename T>
void forward_sets(const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs, const RecurrenceOutputs<T>& outputs,
                  std::int64_t begin, std::int64_t end) {
  ForwardScratch<T> scratch(sizes);
  for (std::int64_t item = begin; item < end; ++item) {
    forward_set(hn::ScalableTag<T>(), sizes, inputs, outputs, HeadSet(sizes, item), scratch);
  }
}

}  // namespace

// For the dispatch, which takes no templates.
void head_forward_float(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                        const RecurrenceOutputs<float>& outputs, std::int64_t begin, std::int64_t end) {
  forward_sets(sizes, inputs, outputs, begin, end);
}
void head_forward_double(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                         const RecurrenceOutputs<double>& outputs, std::int64_t begin, std::int64_t end) {
  forward_sets(sizes, inputs, outputs, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(head_forward_float);
HWY_EXPORT(head_forward_double);

template <>
void head_recurrence_forward(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                             const RecurrenceOutputs<float>& outputs, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(head_forward_float)(sizes, inputs, outputs, begin, end);
}

template <>
void head_recurrence_forward(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                             const RecurrenceOutputs<double>& outputs, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(head_forward_double)(sizes, inputs, outputs, begin, end);
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
