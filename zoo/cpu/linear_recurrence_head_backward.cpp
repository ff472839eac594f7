#include "zoo/cpu/linear_recurrence.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/linear_recurrence_head_backward.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/linear_recurrence_chunk-inl.h"
#include "zoo/cpu/linear_recurrence_head-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

namespace {

template <typename T>
struct BackwardScratch {
  explicit BackwardScratch(const RecurrenceSizes& sizes)
      : transposed(count(std::max(sizes.dk, sizes.dv) * head_chunk)),
        scaled(count(std::max(sizes.dk, sizes.dv) * head_chunk)),
        through(count(sizes.dk * head_chunk)),
        products(head_chunk * head_chunk),
        scores(head_chunk * head_chunk),
        value_products(head_chunk * head_chunk),
        score_gradients(head_chunk * head_chunk),
        dstate_transposed(count(sizes.dk * sizes.dv)),
        states(count((std::min(sizes.length, head_segment) + head_chunk - 1) / head_chunk * sizes.heads_a_part() *
                     sizes.dk * sizes.dv)) {}

  static std::size_t count(std::int64_t elements) { return static_cast<std::size_t>(elements); }

  PoolVector<T> transposed;         // [channel][step]
  PoolVector<T> scaled;             // [step][channel]
  PoolVector<T> through;            // [step][channel]
  PoolVector<T> products;           // q_t . k_s, at [t][s]
  PoolVector<T> scores;             // the same, decayed
  PoolVector<T> value_products;     // dy_t . v_s, decayed
  PoolVector<T> score_gradients;    // their sum over heads
  PoolVector<T> dstate_transposed;  // [dv][dk]
  PoolVector<T> states;             // before each chunk of a segment, of each head, transposed: [dv][dk]
  HeadDecay<T> decay;
};

// to += from, or to = from.
template <bool add, class D, typename T = hn::TFromD<D>>
HWY_INLINE void gather_rows(D d, std::int64_t rows, std::int64_t columns, const Rowwise<const T>& from,
                            const Rowwise<T>& to) {
  for (std::int64_t i = 0; i < rows; ++i) {
    const T* source = from.data + i * from.stride;
    T* target = to.data + i * to.stride;
    for_vectors(d, columns, [&](std::int64_t j, auto part) HWY_ATTR {
      const auto value = part.load(d, source + j);
      part.store(add ? hn::Add(part.load(d, target + j), value) : value, d, target + j);
    });
  }
}

// The gradient of each step's log decay: what flows from the steps before it to it and those after, added up without
// differences, so that the little that passes a strong decay is not lost in what does not. `through` is what passes the
// whole chunk, from_state[t] what goes from the state before it to step t, to_state[s] what goes from step s to the
// state after it, and products[t][s] * value_products[t][s] what goes from step s to step t.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void decay_gradient(D d, std::int64_t n, double through, const double* from_state, const double* to_state,
                                 const T* products, const T* value_products, T* into, std::int64_t stride) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  alignas(64) T column_sums[head_chunk] = {};  // over the steps from t on
  double later = 0;
  for (std::int64_t t = n - 1; t >= 0; --t) {
    auto crossing = hn::Zero(d);
    for (std::int64_t s = 0; s <= t; s += lanes) {
      const std::int64_t at = t * head_chunk + s;
      const auto steps = hn::Iota(d, static_cast<T>(s)), own = hn::Set(d, static_cast<T>(t));
      const auto flow = hn::Mul(hn::LoadU(d, products + at), hn::LoadU(d, value_products + at));
      const auto sum = hn::Add(hn::Load(d, column_sums + s), hn::IfThenElseZero(hn::Le(steps, own), flow));
      hn::Store(sum, d, column_sums + s);
      const auto earlier = hn::Lt(steps, own);
      crossing = hn::Add(crossing, hn::IfThenElseZero(earlier, sum));
    }
    later += from_state[t];
    into[t * stride] = static_cast<T>(through + later + static_cast<double>(hn::GetLane(hn::SumOfLanes(d, crossing))));
  }
  double earlier = 0;
  for (std::int64_t t = 0; t < n; ++t) {
    into[t * stride] = static_cast<T>(static_cast<double>(into[t * stride]) + earlier);
    earlier += to_state[t];
  }
}

// From the gradients of dt v, in `dv_rows`, those of v there and of dt, `stride` apart, where y has skip * v as well.
// Returns that of skip.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE T backward_steps(D d, std::int64_t n, std::int64_t dv, const T* steps, T skip, const Rowwise<const T>& v,
                            const Rowwise<const T>& dy, const Rowwise<T>& dv_rows, T* into, std::int64_t stride) {
  const auto past = hn::Set(d, skip);
  auto through_skip = hn::Zero(d);
  for (std::int64_t t = 0; t < n; ++t) {
    const auto step = hn::Set(d, steps[t]);
    const T *values = v.data + t * v.stride, *gradient = dy.data + t * dy.stride;
    T* row = dv_rows.data + t * dv_rows.stride;
    auto along = hn::Zero(d);
    for_vectors(d, dv, [&](std::int64_t c, auto part) HWY_ATTR {
      const auto value = part.load(d, values + c), of_y = part.load(d, gradient + c), written = part.load(d, row + c);
      along = hn::MulAdd(value, written, along);
      through_skip = hn::MulAdd(value, of_y, through_skip);
      part.store(hn::MulAdd(past, of_y, hn::Mul(step, written)), d, row + c);
    });
    into[t * stride] = hn::GetLane(hn::SumOfLanes(d, along));
  }
  return hn::GetLane(hn::SumOfLanes(d, through_skip));
}

// One chunk of one head, given the products of its queries and keys. The gradient of the state, in into.initial, goes
// from that after the chunk to that before it. `state` is the one before the chunk, transposed.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void backward_chunk(D d, const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs, const T* dy_all,
                                 const RecurrenceGradients<T>& into, const HeadSet& set, std::int64_t head,
                                 std::int64_t first, std::int64_t n, const T* state, bool state_zero, bool dstate_zero,
                                 BackwardScratch<T>& scratch) {
  const std::int64_t dk = sizes.dk, dv = sizes.dv;
  const bool first_head = head == set.first_head, only_head = sizes.heads_a_part() == 1;
  const Rowwise<const T> q = set.group_steps(inputs.q, first), k = set.group_steps(inputs.k, first);
  const Rowwise<const T> v = set.head_steps(inputs.v, first, head), dy = set.head_steps(dy_all, first, head);
  const Rowwise<T> dq = set.part_steps(into.q, first), dk_rows = set.part_steps(into.k, first);
  const Rowwise<T> dv_rows = set.head_steps(into.v, first, head);
  const Rowwise<T> through = {scratch.through.data(), dk};
  T* dstate = set.state(into.initial, head);
  T* value_products = scratch.value_products.data();
  const bool with_decay = into.log_decay != nullptr;
  HeadDecay<T>& decay = scratch.decay;
  decay.fill(sizes, inputs, set.sequence, head, first, n);

  past_products(d, n, dv, dy, v, scratch.transposed.data(), value_products);
  decayed_scores(d, n, decay, decay.steps(), value_products, value_products);
  decayed_scores<D, T>(d, n, decay, nullptr, scratch.products.data(), scratch.scores.data());

  through_state(d, n, dk, dv, k, dstate, dstate_zero, decay.to_end(), dv_rows);
  add_future(d, n, dv, Rowwise<const T>{scratch.scores.data(), head_chunk}, dy, dv_rows);
  if (decay.steps() != nullptr) {
    const std::int64_t at = (set.sequence * sizes.length + first) * sizes.heads + head;
    into.skip[set.sequence * sizes.heads + head] +=
        backward_steps(d, n, dv, decay.steps(), inputs.skip[head], v, dy, dv_rows, into.step + at, sizes.heads);
  }

  // Of the group's queries and keys, by way of the state.
  double from_state[head_chunk], to_state[head_chunk];
  const Rowwise<T> own_dq = first_head ? dq : through;
  through_state(d, n, dv, dk, dy, state, state_zero, decay.from_start(), own_dq);
  if (with_decay) {
    for (std::int64_t t = 0; t < n; ++t) {
      from_state[t] = long_dot(d, dk, q.data + t * q.stride, own_dq.data + t * own_dq.stride);
    }
  }
  if (!first_head) gather_rows<true>(d, n, dk, constant(through), dq);
  const Rowwise<T> own_dk = first_head ? dk_rows : through;
  if (!dstate_zero)
    transpose(d, dk, dv, Rowwise<const T>{dstate, dv}, Rowwise<T>{scratch.dstate_transposed.data(), dk});
  through_state(d, n, dv, dk, v, scratch.dstate_transposed.data(), dstate_zero, decay.written(), own_dk);
  if (with_decay) {
    for (std::int64_t s = 0; s < n; ++s) {
      to_state[s] = long_dot(d, dk, k.data + s * k.stride, own_dk.data + s * own_dk.stride);
    }
    const double passing =
        state_zero || dstate_zero
            ? 0
            : static_cast<double>(decay.whole()) * long_dot(d, dk * dv, state, scratch.dstate_transposed.data());
    decay_gradient(d, n, passing, from_state, to_state, scratch.products.data(), value_products,
                   into.log_decay + (set.sequence * sizes.length + first) * sizes.heads + head, sizes.heads);
  }
  if (!first_head) gather_rows<true>(d, n, dk, constant(through), dk_rows);

  // Directly: the same queries and keys for all heads, so that their scores' gradients are added first.
  if (!only_head) {
    const Rowwise<const T> own{value_products, head_chunk};
    const Rowwise<T> sum{scratch.score_gradients.data(), head_chunk};
    if (first_head) {
      gather_rows<false>(d, n, n, own, sum);
    } else {
      gather_rows<true>(d, n, n, own, sum);
    }
  }
  if (head + 1 == set.end_head) {
    const Rowwise<const T> gradients{only_head ? value_products : scratch.score_gradients.data(), head_chunk};
    add_past(d, n, dk, gradients, k, dq);
    add_future(d, n, dk, gradients, q, dk_rows);
  }
  advance_state(d, n, dk, dv, q, dy, decay.from_start(), decay.whole(), scratch.scaled.data(), dstate);
}

// The states before each chunk of a segment, from the one that it begins with.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void recompute_states(D d, const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                                   const T* checkpoints, const HeadSet& set, std::int64_t begin, std::int64_t end,
                                   BackwardScratch<T>& scratch) {
  const std::int64_t dk = sizes.dk, dv = sizes.dv, cells = dk * dv;
  T* state = scratch.states.data();
  for (std::int64_t head = set.first_head; head < set.end_head; ++head, state += cells) {
    const T* before =
        begin == 0 ? set.state(inputs.initial, head) : set.checkpoint(checkpoints, begin / head_segment, head);
    transpose(d, dk, dv, Rowwise<const T>{before, dv}, Rowwise<T>{state, dk});
  }
  const std::int64_t of_a_chunk = sizes.heads_a_part() * cells;
  for (std::int64_t first = begin; first + head_chunk < end; first += head_chunk) {
    for (std::int64_t head = set.first_head; head < set.end_head; ++head, state += cells) {
      std::copy_n(state - of_a_chunk, cells, state);
      scratch.decay.fill(sizes, inputs, set.sequence, head, first, head_chunk);
      advance_state(d, head_chunk, dv, dk, set.head_steps(inputs.v, first, head), set.group_steps(inputs.k, first),
                    scratch.decay.written(), scratch.decay.whole(), scratch.scaled.data(), state);
    }
  }
}

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void backward_set(D d, const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                               const RecurrenceOutputs<const T>& dy, const RecurrenceGradients<T>& into,
                               const HeadSet& set, BackwardScratch<T>& scratch) {
  const std::int64_t cells = sizes.dk * sizes.dv;
  bool initial_zero = true;
  bool dstate_zero = dy.state == nullptr;
  for (std::int64_t head = set.first_head; head < set.end_head; ++head) {
    initial_zero = initial_zero && all_zero(set.state(inputs.initial, head), cells);
    if (dy.state != nullptr) std::copy_n(set.state(dy.state, head), cells, set.state(into.initial, head));
    if (dy.state == nullptr) std::fill_n(set.state(into.initial, head), cells, T{0});
    if (into.skip != nullptr) into.skip[set.sequence * sizes.heads + head] = 0;
  }
  for (std::int64_t begin = (sizes.length - 1) / head_segment * head_segment; begin >= 0; begin -= head_segment) {
    const std::int64_t end = std::min(begin + head_segment, sizes.length);
    recompute_states(d, sizes, inputs, dy.checkpoints, set, begin, end, scratch);
    for (std::int64_t first = begin + (end - begin - 1) / head_chunk * head_chunk; first >= begin;
         first -= head_chunk) {
      const std::int64_t n = std::min(head_chunk, sizes.length - first);
      past_products(d, n, sizes.dk, set.group_steps(inputs.q, first), set.group_steps(inputs.k, first),
                    scratch.transposed.data(), scratch.products.data());
      const T* state = scratch.states.data() + (first - begin) / head_chunk * sizes.heads_a_part() * cells;
      for (std::int64_t head = set.first_head; head < set.end_head; ++head, state += cells) {
        backward_chunk(d, sizes, inputs, dy.y, into, set, head, first, n, state, first == 0 && initial_zero,
                       dstate_zero, scratch);
      }
      dstate_zero = false;
    }
  }
}

template <typename T>
void backward_sets(const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                   const RecurrenceOutputs<const T>& dy, const RecurrenceGradients<T>& into, std::int64_t begin,
                   std::int64_t end) {
  BackwardScratch<T> scratch(sizes);
  for (std::int64_t item = begin; item < end; ++item) {
    backward_set(hn::ScalableTag<T>(), sizes, inputs, dy, into, HeadSet(sizes, item), scratch);
  }
}

}  // namespace

// For the dispatch, which takes no templates.
void head_backward_float(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                         const RecurrenceOutputs<const float>& dy, const RecurrenceGradients<float>& into,
                         std::int64_t begin, std::int64_t end) {
  backward_sets(sizes, inputs, dy, into, begin, end);
}
void head_backward_double(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                          const RecurrenceOutputs<const double>& dy, const RecurrenceGradients<double>& into,
                          std::int64_t begin, std::int64_t end) {
  backward_sets(sizes, inputs, dy, into, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(head_backward_float);
HWY_EXPORT(head_backward_double);

template <>
void head_recurrence_backward(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                              const RecurrenceOutputs<const float>& dy, const RecurrenceGradients<float>& into,
                              std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(head_backward_float)(sizes, inputs, dy, into, begin, end);
}

template <>
void head_recurrence_backward(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                              const RecurrenceOutputs<const double>& dy, const RecurrenceGradients<double>& into,
                              std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(head_backward_double)(sizes, inputs, dy, into, begin, end);
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
