#include "zoo/cpu/linear_recurrence.h"

#include <algorithm>

#include "zoo/core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/linear_recurrence.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/linear_recurrence_chunk-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
bool all_zero(const T* values, std::int64_t count) {
  return std::all_of(values, values + count, [](T value) { return value == 0; });
}

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void forward_head(D d, const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                               const RecurrenceOutputs<T>& outputs, const Head& head, Scratch<T>& scratch) {
  const std::int64_t dk = sizes.dk, dv = sizes.dv;
  const ChunkDecay<T> decay(inputs.decay == nullptr ? nullptr : inputs.decay + head.head);
  T* state = head.state(outputs.state);
  std::copy_n(head.state(inputs.initial), dk * dv, state);
  bool zero = all_zero(state, dk * dv);
  T to_end[chunk];
  for (std::int64_t first = 0; first < sizes.length; first += chunk) {
    const std::int64_t n = std::min(chunk, sizes.length - first);
    const Rowwise<const T> q = head.steps(inputs.q, first, dk);
    const Rowwise<const T> k = head.steps(inputs.k, first, dk);
    const Rowwise<const T> v = head.steps(inputs.v, first, dv);
    const Rowwise<T> y = head.steps(outputs.y, first, dv);
    causal_scores(d, n, dk, k, q, decay, scratch);
    through_state(d, n, dk, dv, q, state, zero, decay.present() ? decay.from_start() : nullptr, y);
    add_past(d, n, dv, scratch.scores.data(), v, y);
    decay.to_end(n, to_end);
    advance_state(d, n, dk, dv, k, v, decay.present() ? to_end : nullptr, decay.whole(n), scratch, state);
    zero = false;
  }
}

// sum_i (first + i) a_i . b_i over n steps.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE double position_weighted_dot(D d, std::int64_t n, std::int64_t first, std::int64_t channels,
                                        const Rowwise<const T>& a, const Rowwise<const T>& b) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    sum += static_cast<double>(first + i) *
           static_cast<double>(dot(d, channels, a.data + i * a.stride, b.data + i * b.stride));
  }
  return sum;
}

template <typename T>
Rowwise<const T> constant(const Rowwise<T>& rows) {
  return {rows.data, rows.stride};
}

// Forward in time: dq, from the states. Leaves the last state in scratch, transposed. Returns sum_t t q_t.dq_t.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE double backward_queries(D d, const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs, const T* dy,
                                     const RecurrenceGradients<T>& into, const Head& head, const ChunkDecay<T>& decay,
                                     Scratch<T>& scratch) {
  const std::int64_t dk = sizes.dk, dv = sizes.dv;
  T* state = scratch.state.data();
  transpose(d, dk, dv, Rowwise<const T>{head.state(inputs.initial), dv}, Rowwise<T>{state, dk});
  bool zero = all_zero(state, dk * dv);
  T to_end[chunk];
  double weighted = 0;
  for (std::int64_t first = 0; first < sizes.length; first += chunk) {
    const std::int64_t n = std::min(chunk, sizes.length - first);
    const Rowwise<const T> k = head.steps(inputs.k, first, dk);
    const Rowwise<const T> v = head.steps(inputs.v, first, dv);
    const Rowwise<const T> dy_rows = head.steps(dy, first, dv);
    const Rowwise<T> dq = head.steps(into.q, first, dk);
    causal_scores(d, n, dv, v, dy_rows, decay, scratch);
    through_state(d, n, dv, dk, dy_rows, state, zero, decay.present() ? decay.from_start() : nullptr, dq);
    add_past(d, n, dk, scratch.scores.data(), k, dq);
    decay.to_end(n, to_end);
    advance_state(d, n, dv, dk, v, k, decay.present() ? to_end : nullptr, decay.whole(n), scratch, state);
    zero = false;
    if (into.decay != nullptr) {
      weighted += position_weighted_dot(d, n, first, dk, head.steps(inputs.q, first, dk), constant(dq));
    }
  }
  return weighted;
}

// Backward in time: dk, dv and the gradient of the initial state, from the gradients of the states. Returns
// sum_s s k_s.dk_s.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE double backward_keys(D d, const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs, const T* dy,
                                  const RecurrenceGradients<T>& into, const Head& head, const ChunkDecay<T>& decay,
                                  Scratch<T>& scratch) {
  const std::int64_t dk = sizes.dk, dv = sizes.dv;
  T* dstate = head.state(into.initial);  // holds the last state's gradient
  T* dstate_transposed = scratch.state.data();
  bool zero = all_zero(dstate, dk * dv);
  T to_end[chunk];
  double weighted = 0;
  for (std::int64_t first = (sizes.length - 1) / chunk * chunk; first >= 0; first -= chunk) {
    const std::int64_t n = std::min(chunk, sizes.length - first);
    const Rowwise<const T> q = head.steps(inputs.q, first, dk);
    const Rowwise<const T> k = head.steps(inputs.k, first, dk);
    const Rowwise<const T> v = head.steps(inputs.v, first, dv);
    const Rowwise<const T> dy_rows = head.steps(dy, first, dv);
    const Rowwise<T> dk_rows = head.steps(into.k, first, dk);
    const Rowwise<T> dv_rows = head.steps(into.v, first, dv);
    decay.to_end(n, to_end);
    const T* factors = decay.present() ? to_end : nullptr;
    through_state(d, n, dk, dv, k, dstate, zero, factors, dv_rows);
    if (!zero) transpose(d, dk, dv, Rowwise<const T>{dstate, dv}, Rowwise<T>{dstate_transposed, dk});
    through_state(d, n, dv, dk, v, dstate_transposed, zero, factors, dk_rows);
    causal_scores(d, n, dk, k, q, decay, scratch);
    add_future(d, n, dv, scratch.scores.data(), dy_rows, dv_rows);
    causal_scores(d, n, dv, v, dy_rows, decay, scratch);
    add_future(d, n, dk, scratch.scores.data(), q, dk_rows);
    advance_state(d, n, dk, dv, q, dy_rows, decay.present() ? decay.from_start() : nullptr, decay.whole(n), scratch,
                  dstate);
    zero = false;
    if (into.decay != nullptr) weighted += position_weighted_dot(d, n, first, dk, k, constant(dk_rows));
  }
  return weighted;
}

// <state, gradient> with the state transposed.
template <typename T>
double transposed_dot(std::int64_t dk, std::int64_t dv, const T* state_transposed, const T* gradient) {
  double sum = 0;
  for (std::int64_t i = 0; i < dk; ++i) {
    for (std::int64_t j = 0; j < dv; ++j) {
      sum += static_cast<double>(state_transposed[j * dk + i]) * static_cast<double>(gradient[i * dv + j]);
    }
  }
  return sum;
}

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void backward_head(D d, const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                                const RecurrenceOutputs<const T>& dy, const RecurrenceGradients<T>& into,
                                const Head& head, Scratch<T>& scratch) {
  const std::int64_t dk = sizes.dk, dv = sizes.dv;
  const ChunkDecay<T> decay(inputs.decay == nullptr ? nullptr : inputs.decay + head.head);
  T* dstate = head.state(into.initial);
  if (dy.state != nullptr) {
    std::copy_n(head.state(dy.state), dk * dv, dstate);
  } else {
    std::fill_n(dstate, dk * dv, T{0});
  }
  double weighted = backward_queries(d, sizes, inputs, dy.y, into, head, decay, scratch);
  if (into.decay == nullptr) {
    backward_keys(d, sizes, inputs, dy.y, into, head, decay, scratch);
    return;
  }
  // A path from step s to step t passes the decay t - s times, so that decay * d(decay) is the sum over paths of
  // (t - s) times what flows through them: sum_t t q_t.dq_t - sum_s s k_s.dk_s, the last state being read at T - 1 and
  // the initial one written at -1 (as in Yang et al. 2023, "Gated linear attention", section 4.4).
  weighted += static_cast<double>(sizes.length - 1) * transposed_dot(dk, dv, scratch.state.data(), dstate);
  weighted -= backward_keys(d, sizes, inputs, dy.y, into, head, decay, scratch);
  const T* initial = head.state(inputs.initial);
  for (std::int64_t i = 0; i < dk * dv; ++i)
    weighted += static_cast<double>(initial[i]) * static_cast<double>(dstate[i]);
  into.decay[head.sequence * sizes.heads + head.head] =
      static_cast<T>(weighted / static_cast<double>(inputs.decay[head.head]));
}

// Items [begin, end) of the B * H pairs of a sequence and a head.
template <typename T>
void forward_part(const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs, const RecurrenceOutputs<T>& outputs,
                  std::int64_t begin, std::int64_t end) {
  Scratch<T> scratch(sizes, false);
  for (std::int64_t item = begin; item < end; ++item) {
    const Head head{&sizes, item / sizes.heads, item % sizes.heads};
    forward_head(hn::ScalableTag<T>(), sizes, inputs, outputs, head, scratch);
  }
}

template <typename T>
void backward_part(const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                   const RecurrenceOutputs<const T>& dy, const RecurrenceGradients<T>& into, std::int64_t begin,
                   std::int64_t end) {
  Scratch<T> scratch(sizes, true);
  for (std::int64_t item = begin; item < end; ++item) {
    const Head head{&sizes, item / sizes.heads, item % sizes.heads};
    backward_head(hn::ScalableTag<T>(), sizes, inputs, dy, into, head, scratch);
  }
}

// For the dispatch, which takes no templates.
void recurrence_forward_float(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                              const RecurrenceOutputs<float>& outputs, std::int64_t begin, std::int64_t end) {
  forward_part(sizes, inputs, outputs, begin, end);
}
void recurrence_forward_double(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                               const RecurrenceOutputs<double>& outputs, std::int64_t begin, std::int64_t end) {
  forward_part(sizes, inputs, outputs, begin, end);
}
void recurrence_backward_float(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                               const RecurrenceOutputs<const float>& dy, const RecurrenceGradients<float>& into,
                               std::int64_t begin, std::int64_t end) {
  backward_part(sizes, inputs, dy, into, begin, end);
}
void recurrence_backward_double(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                                const RecurrenceOutputs<const double>& dy, const RecurrenceGradients<double>& into,
                                std::int64_t begin, std::int64_t end) {
  backward_part(sizes, inputs, dy, into, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(recurrence_forward_float);
HWY_EXPORT(recurrence_forward_double);
HWY_EXPORT(recurrence_backward_float);
HWY_EXPORT(recurrence_backward_double);

namespace {

// Pairs of a sequence and a head that are worth a thread.
std::int64_t grain(const RecurrenceSizes& sizes) {
  return 1 + 200000 / std::max<std::int64_t>(sizes.length * sizes.dk * sizes.dv, 1);
}

}  // namespace

void linear_recurrence_forward(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                               const RecurrenceOutputs<float>& outputs) {
  parallel_for(sizes.batch * sizes.heads, grain(sizes), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(recurrence_forward_float)(sizes, inputs, outputs, begin, end);
  });
}

void linear_recurrence_forward(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                               const RecurrenceOutputs<double>& outputs) {
  parallel_for(sizes.batch * sizes.heads, grain(sizes), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(recurrence_forward_double)(sizes, inputs, outputs, begin, end);
  });
}

void linear_recurrence_backward(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                                const RecurrenceOutputs<const float>& output_gradients,
                                const RecurrenceGradients<float>& gradients) {
  parallel_for(sizes.batch * sizes.heads, grain(sizes), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(recurrence_backward_float)(sizes, inputs, output_gradients, gradients, begin, end);
  });
}

void linear_recurrence_backward(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                                const RecurrenceOutputs<const double>& output_gradients,
                                const RecurrenceGradients<double>& gradients) {
  parallel_for(sizes.batch * sizes.heads, grain(sizes), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(recurrence_backward_double)(sizes, inputs, output_gradients, gradients, begin, end);
  });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
