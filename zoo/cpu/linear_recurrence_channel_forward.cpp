#include "zoo/cpu/linear_recurrence.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/linear_recurrence_channel_forward.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/linear_recurrence_channel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

namespace {

template <typename T>
struct ForwardScratch {
  explicit ForwardScratch(const RecurrenceSizes& sizes) : chunk(sizes.dk), for_scores(sizes.dk) {}

  ChannelChunk<T> chunk;
  ChannelScoresScratch<T> for_scores;
  alignas(64) T scores[channel_chunk * channel_chunk];
};

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void forward_head(D d, const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                               const RecurrenceOutputs<T>& outputs, const ChannelHead& head,
                               ForwardScratch<T>& scratch) {
  const std::int64_t dk = sizes.dk, dv = sizes.dv;
  const T* bonus = head.bonus(inputs);
  T* state = head.set.state(outputs.state, head.head);
  std::copy_n(head.set.state(inputs.initial, head.head), dk * dv, state);
  bool zero = all_zero(state, dk * dv);
  ChannelChunk<T>& chunk = scratch.chunk;
  for (std::int64_t first = 0; first < sizes.length; first += channel_chunk) {
    if (first > 0 && first % channel_segment == 0) {
      std::copy_n(state, dk * dv, head.set.checkpoint(outputs.checkpoints, first / channel_segment, head.head));
    }
    const std::int64_t n = std::min(channel_chunk, sizes.length - first);
    const Rowwise<const T> q = head.q(inputs, first), k = head.k(inputs, first);
    const Rowwise<const T> v = head.set.head_steps(inputs.v, first, head.head);
    const Rowwise<T> y = head.set.head_steps(outputs.y, first, head.head);
    fill_chunk(d, n, head.decays(inputs.log_decay, first), q, k, bonus != nullptr, chunk);
    through_state(d, n, dk, dv, chunk.rows(chunk.queries), state, zero, static_cast<const T*>(nullptr), y);
    channel_scores(d, n, q, k, chunk, bonus, scratch.for_scores, scratch.scores);
    // The columns s > t of a block of rows are multiplied, so they have to be 0.
    for (std::int64_t t = 0; t < n; ++t) {
      std::fill(scratch.scores + t * channel_chunk + t + 1, scratch.scores + (t + 1) * channel_chunk, T{0});
    }
    add_past(d, n, dv, Rowwise<const T>{scratch.scores, channel_chunk}, v, y);
    advance_rows(d, n, dk, dv, chunk.rows(chunk.keys), v, chunk.whole.data(), state);
    zero = false;
  }
}

template <typename T>
void forward_sets(const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs, const RecurrenceOutputs<T>& outputs,
                  std::int64_t begin, std::int64_t end) {
  ForwardScratch<T> scratch(sizes);
  for (std::int64_t item = begin; item < end; ++item) {
    for (std::int64_t member = 0; member < sizes.heads_a_part(); ++member) {
      forward_head(hn::ScalableTag<T>(), sizes, inputs, outputs, ChannelHead(sizes, item, member), scratch);
    }
  }
}

}  // namespace

// For the dispatch, which takes no templates.
void channel_forward_float(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                           const RecurrenceOutputs<float>& outputs, std::int64_t begin, std::int64_t end) {
  forward_sets(sizes, inputs, outputs, begin, end);
}
void channel_forward_double(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                            const RecurrenceOutputs<double>& outputs, std::int64_t begin, std::int64_t end) {
  forward_sets(sizes, inputs, outputs, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(channel_forward_float);
HWY_EXPORT(channel_forward_double);

template <>
void channel_recurrence_forward(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                                const RecurrenceOutputs<float>& outputs, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(channel_forward_float)(sizes, inputs, outputs, begin, end);
}

template <>
void channel_recurrence_forward(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                                const RecurrenceOutputs<double>& outputs, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(channel_forward_double)(sizes, inputs, outputs, begin, end);
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
