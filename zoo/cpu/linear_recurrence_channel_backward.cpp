#include "zoo/cpu/linear_recurrence.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/linear_recurrence_channel_backward.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/linear_recurrence_channel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

namespace {

template <typename T>
struct BackwardScratch {
  explicit BackwardScratch(const RecurrenceSizes& sizes)
      : chunk(sizes.dk),
        for_scores(sizes.dk),
        v_transposed(static_cast<std::size_t>(sizes.dv * channel_chunk)),
        dstate_transposed(static_cast<std::size_t>(sizes.dk * sizes.dv)),
        states(static_cast<std::size_t>((std::min(sizes.length, channel_segment) + channel_chunk - 1) / channel_chunk *
                                        sizes.dk * sizes.dv)) {}

  ChannelChunk<T> chunk;
  ChannelScoresScratch<T> for_scores;
  PoolVector<T> v_transposed;                                   // [channel][step]
  PoolVector<T> dstate_transposed;                              // [dv][dk]
  PoolVector<T> states;                                         // before each chunk of a segment, transposed: [dv][dk]
  alignas(64) T scores[channel_chunk * channel_chunk];          // [t][s]
  alignas(64) T value_products[channel_chunk * channel_chunk];  // dy_t . v_s, at [t][s]
  alignas(64) T key_gradients[channel_chunk * channel_chunk * hn::MaxLanes(hn::ScalableTag<T>())];
};

// What the gradients of a chunk's queries, keys and decays are made of.
template <typename T>
struct ChunkGradients {
  Rowwise<const T> q;
  Rowwise<const T> k;
  Rowwise<T> dq;        // holds what comes through the state before the chunk, not yet decayed
  Rowwise<T> dk;        // likewise, after the chunk
  T* dlog_decay;        // nullptr where nobody wants it
  std::int64_t stride;  // of dlog_decay
  const T* state;       // before the chunk, transposed: [dv][dk]
  const T* dstate;      // gradient of that after it, transposed
  bool through;         // whether neither is 0
  const T* bonus;       // nullptr without
  T* dbonus;            // is added to; nullptr where nobody wants it
};

// The gradients for the channels from c on. Between steps s and t of the chunk, with the decays between them:
//
//   dk_s = sum_t dP_ts q_t,  dq_t = sum_s dP_ts k_s
//
// by recurrences over t: z_s(t), the gradient of key s as decayed by step t, goes backward in time, and the decayed key
// forward. Their product is what flows from s through the decay of step t, which added up over s, with what flows by
// way of the states, is the gradient of its logarithm: no differences, so that the little that passes a strong decay is
// not lost in what does not.
template <bool before, class D, class Part, typename T = hn::TFromD<D>>
HWY_INLINE void channel_gradients(D d, Part part, std::int64_t c, std::int64_t n, std::int64_t dv,
                                  const ChannelChunk<T>& chunk, const ChunkGradients<T>& g, const T* value_products,
                                  T* key_gradients) {
  using V = hn::Vec<D>;
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  const std::int64_t dk = chunk.width;
  const auto row = [&](const auto& rows, std::int64_t t)
                       HWY_ATTR { return part.load(d, rows.data + t * rows.stride + c); };
  const auto table = [&](const PoolVector<T>& values, std::int64_t t)
                         HWY_ATTR { return part.load(d, values.data() + t * dk + c); };
  const auto weight = [&](std::int64_t t, std::int64_t s)
                          HWY_ATTR { return hn::Set(d, value_products[t * channel_chunk + s]); };
  const auto z = [&](std::int64_t t, std::int64_t s) { return key_gradients + (t * channel_chunk + s) * lanes; };

  // Backward in time. A key is read at step t as decayed by it, or with `before`, at step t + 1.
  V next_decay = hn::Zero(d);
  for (std::int64_t t = n - 1; t >= 0; --t) {
    const std::int64_t reader = before ? t + 1 : t;
    const V q = reader < n ? row(g.q, reader) : hn::Zero(d);
    for (std::int64_t s = 0; s <= t; ++s) {
      const V later = t + 1 < n ? hn::Mul(hn::LoadU(d, z(t + 1, s)), next_decay) : hn::Zero(d);
      hn::StoreU(reader < n ? hn::MulAdd(weight(reader, s), q, later) : later, d, z(t, s));
    }
    next_decay = table(chunk.decay, t);
  }

  // Forward in time. `keys` are the keys up to t, decayed.
  V keys[channel_chunk];
  V passing[channel_chunk];  // what flows from keys of the chunk to queries of the chunk through step t
  V dq[channel_chunk];
  for (std::int64_t t = 0; t < n; ++t) {
    const V decay = table(chunk.decay, t);
    V sum = hn::Zero(d);
    V flow = hn::Zero(d);
    for (std::int64_t s = 0; s < t; ++s) {
      if (before) sum = hn::MulAdd(weight(t, s), keys[s], sum);
      keys[s] = hn::Mul(keys[s], decay);
      if (!before) sum = hn::MulAdd(weight(t, s), keys[s], sum);
      flow = hn::MulAdd(keys[s], hn::LoadU(d, z(t, s)), flow);
    }
    keys[t] = row(g.k, t);
    dq[t] = before ? sum : hn::MulAdd(weight(t, t), keys[t], sum);
    passing[t] = flow;
  }

  V through = hn::Zero(d);  // from the state before the chunk to that after it
  if (g.dlog_decay != nullptr && g.through) {
    for (std::int64_t j = 0; j < dv; ++j) {
      through = hn::MulAdd(part.load(d, g.state + j * dk + c), part.load(d, g.dstate + j * dk + c), through);
    }
    through = hn::Mul(through, table(chunk.whole, 0));
  }
  const V bonus = g.bonus == nullptr ? hn::Zero(d) : part.load(d, g.bonus + c);
  V dbonus = hn::Zero(d);
  for (std::int64_t t = n - 1; t >= 0; --t) {
    const V q = row(g.q, t), k = row(g.k, t);
    const V from_state = hn::Mul(row(g.dq, t), table(chunk.from_start, t));
    const V to_state = hn::Mul(row(g.dk, t), table(chunk.to_end, t));
    V dq_t = hn::Add(from_state, dq[t]);
    V dk_t = hn::Add(to_state, hn::LoadU(d, z(t, t)));
    if (before) {
      const V own = weight(t, t);
      dbonus = hn::MulAdd(own, hn::Mul(q, k), dbonus);
      dq_t = hn::MulAdd(own, hn::Mul(bonus, k), dq_t);
      dk_t = hn::MulAdd(own, hn::Mul(bonus, q), dk_t);
    }
    part.store(dq_t, d, g.dq.data + t * g.dq.stride + c);
    part.store(dk_t, d, g.dk.data + t * g.dk.stride + c);
    // Queries from t on (after t, when they read the state before its update), and keys before t.
    if (!before) through = hn::MulAdd(q, from_state, through);
    passing[t] = hn::Add(passing[t], through);
    if (before) through = hn::MulAdd(q, from_state, through);
    keys[t] = hn::Mul(k, to_state);
  }
  if (g.dbonus != nullptr) part.store(hn::Add(part.load(d, g.dbonus + c), dbonus), d, g.dbonus + c);
  if (g.dlog_decay == nullptr) return;
  V earlier = hn::Zero(d);
  for (std::int64_t t = 0; t < n; ++t) {
    part.store(hn::Add(passing[t], earlier), d, g.dlog_decay + t * g.stride + c);
    earlier = hn::Add(earlier, keys[t]);
  }
}

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void all_channel_gradients(D d, std::int64_t n, std::int64_t dv, const ChunkGradients<T>& g,
                                        BackwardScratch<T>& scratch) {
  const ChannelChunk<T>& chunk = scratch.chunk;
  for_vectors(d, chunk.width, [&](std::int64_t c, auto part) HWY_ATTR {
    if (g.bonus == nullptr) {
      channel_gradients<false>(d, part, c, n, dv, chunk, g, scratch.value_products, scratch.key_gradients);
    } else {
      channel_gradients<true>(d, part, c, n, dv, chunk, g, scratch.value_products, scratch.key_gradients);
    }
  });
}

// One chunk of one head. The gradient of the state, in into.initial, goes from that after the chunk to that before it.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void backward_chunk(D d, const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs, const T* dy_all,
                                 const RecurrenceGradients<T>& into, const ChannelHead& head, std::int64_t first,
                                 std::int64_t n, const T* state, bool state_zero, bool dstate_zero,
                                 BackwardScratch<T>& scratch) {
  const std::int64_t dk = sizes.dk, dv = sizes.dv;
  const T* none = nullptr;
  const T* bonus = head.bonus(inputs);
  const Rowwise<const T> q = head.q(inputs, first), k = head.k(inputs, first);
  const Rowwise<const T> v = head.set.head_steps(inputs.v, first, head.head);
  const Rowwise<const T> dy = head.set.head_steps(dy_all, first, head.head);
  const Rowwise<T> dq = head.set.part_steps(into.q, first), dk_rows = head.set.part_steps(into.k, first);
  const Rowwise<T> dv_rows = head.set.head_steps(into.v, first, head.head);
  T* dstate = head.set.state(into.initial, head.head);
  T* dstate_transposed = scratch.dstate_transposed.data();
  ChannelChunk<T>& chunk = scratch.chunk;
  fill_chunk(d, n, head.decays(inputs.log_decay, first), q, k, bonus != nullptr, chunk);

  channel_scores(d, n, q, k, chunk, bonus, scratch.for_scores, scratch.scores);
  through_state(d, n, dk, dv, chunk.rows(chunk.keys), dstate, dstate_zero, none, dv_rows);
  // The rows t < s of a block of columns are not multiplied.
  for (std::int64_t t = 0; t < n; ++t) {
    std::fill(scratch.scores + t * channel_chunk + t + 1, scratch.scores + (t + 1) * channel_chunk, T{0});
  }
  add_future(d, n, dv, Rowwise<const T>{scratch.scores, channel_chunk}, dy, dv_rows);

  const Rowwise<T> v_transposed{scratch.v_transposed.data(), channel_chunk};
  transpose(d, n, dv, v, v_transposed);
  small_matmul<false>(d, n, n, dv, by_rows(dy), constant(v_transposed),
                      Rowwise<T>{scratch.value_products, channel_chunk});
  through_state(d, n, dv, dk, dy, state, state_zero, none, dq);
  if (!dstate_zero) transpose(d, dk, dv, Rowwise<const T>{dstate, dv}, Rowwise<T>{dstate_transposed, dk});
  through_state(d, n, dv, dk, v, dstate_transposed, dstate_zero, none, dk_rows);
  const std::int64_t sequence_head = head.set.sequence * sizes.heads + head.head;
  const Rowwise<T> dlog_decay = into.log_decay == nullptr ? Rowwise<T>{} : head.decays(into.log_decay, first);
  all_channel_gradients(d, n, dv,
                        ChunkGradients<T>{.q = q,
                                          .k = k,
                                          .dq = dq,
                                          .dk = dk_rows,
                                          .dlog_decay = dlog_decay.data,
                                          .stride = dlog_decay.stride,
                                          .state = state,
                                          .dstate = dstate_transposed,
                                          .through = !state_zero && !dstate_zero,
                                          .bonus = bonus,
                                          .dbonus = into.bonus == nullptr ? nullptr : into.bonus + sequence_head * dk},
                        scratch);
  advance_rows(d, n, dk, dv, chunk.rows(chunk.queries), dy, chunk.whole.data(), dstate);
}

// The states before each chunk of a segment, from the one that it begins with.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void recompute_states(D d, const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                                   const T* checkpoints, const ChannelHead& head, std::int64_t begin, std::int64_t end,
                                   BackwardScratch<T>& scratch) {
  const std::int64_t dk = sizes.dk, dv = sizes.dv, cells = dk * dv;
  const T* before = begin == 0 ? head.set.state(inputs.initial, head.head)
                               : head.set.checkpoint(checkpoints, begin / channel_segment, head.head);
  T* state = scratch.states.data();
  transpose(d, dk, dv, Rowwise<const T>{before, dv}, Rowwise<T>{state, dk});
  ChannelChunk<T>& chunk = scratch.chunk;
  for (std::int64_t first = begin; first + channel_chunk < end; first += channel_chunk, state += cells) {
    fill_chunk(d, channel_chunk, head.decays(inputs.log_decay, first), Rowwise<const T>{nullptr, 0},
               head.k(inputs, first), false, chunk);
    T* next = state + cells;
    for (std::int64_t j = 0; j < dv; ++j) {
      for_vectors(d, dk, [&](std::int64_t c, auto part) HWY_ATTR {
        const auto decayed = hn::Mul(part.load(d, state + j * dk + c), part.load(d, chunk.whole.data() + c));
        part.store(decayed, d, next + j * dk + c);
      });
    }
    small_matmul<true>(d, dv, dk, channel_chunk, by_columns(head.set.head_steps(inputs.v, first, head.head)),
                       chunk.rows(chunk.keys), Rowwise<T>{next, dk});
  }
}

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void backward_head(D d, const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                                const RecurrenceOutputs<const T>& dy, const RecurrenceGradients<T>& into,
                                const ChannelHead& head, BackwardScratch<T>& scratch) {
  const std::int64_t cells = sizes.dk * sizes.dv;
  T* dstate = head.set.state(into.initial, head.head);
  bool dstate_zero = dy.state == nullptr;
  if (dstate_zero) {
    std::fill_n(dstate, cells, T{0});
  } else {
    std::copy_n(head.set.state(dy.state, head.head), cells, dstate);
  }
  if (into.bonus != nullptr) {
    std::fill_n(into.bonus + (head.set.sequence * sizes.heads + head.head) * sizes.dk, sizes.dk, T{0});
  }
  const bool initial_zero = all_zero(head.set.state(inputs.initial, head.head), cells);
  for (std::int64_t begin = (sizes.length - 1) / channel_segment * channel_segment; begin >= 0;
       begin -= channel_segment) {
    const std::int64_t end = std::min(begin + channel_segment, sizes.length);
    recompute_states(d, sizes, inputs, dy.checkpoints, head, begin, end, scratch);
    const std::int64_t last = begin + (end - begin - 1) / channel_chunk * channel_chunk;
    for (std::int64_t first = last; first >= begin; first -= channel_chunk) {
      backward_chunk(d, sizes, inputs, dy.y, into, head, first, std::min(channel_chunk, sizes.length - first),
                     scratch.states.data() + (first - begin) / channel_chunk * cells, first == 0 && initial_zero,
                     dstate_zero, scratch);
      dstate_zero = false;
    }
  }
}

// Each part is one head, since the gradients of queries and keys belong to a part.
template <typename T>
void backward_heads(const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                    const RecurrenceOutputs<const T>& dy, const RecurrenceGradients<T>& into, std::int64_t begin,
                    std::int64_t end) {
  BackwardScratch<T> scratch(sizes);
  for (std::int64_t item = begin; item < end; ++item) {
    backward_head(hn::ScalableTag<T>(), sizes, inputs, dy, into, ChannelHead(sizes, item, 0), scratch);
  }
}

}  // namespace

// For the dispatch, which takes no templates.
void channel_backward_float(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                            const RecurrenceOutputs<const float>& dy, const RecurrenceGradients<float>& into,
                            std::int64_t begin, std::int64_t end) {
  backward_heads(sizes, inputs, dy, into, begin, end);
}
void channel_backward_double(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                             const RecurrenceOutputs<const double>& dy, const RecurrenceGradients<double>& into,
                             std::int64_t begin, std::int64_t end) {
  backward_heads(sizes, inputs, dy, into, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(channel_backward_float);
HWY_EXPORT(channel_backward_double);

template <>
void channel_recurrence_backward(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                                 const RecurrenceOutputs<const float>& dy, const RecurrenceGradients<float>& into,
                                 std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(channel_backward_float)(sizes, inputs, dy, into, begin, end);
}

template <>
void channel_recurrence_backward(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                                 const RecurrenceOutputs<const double>& dy, const RecurrenceGradients<double>& into,
                                 std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(channel_backward_double)(sizes, inputs, dy, into, begin, end);
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
