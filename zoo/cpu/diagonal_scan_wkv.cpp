#include "zoo/cpu/diagonal_scan_wkv.h"

#include <algorithm>
#include <numbers>

#include "zoo/core/pool.h"
#include "zoo/cpu/channel_blocks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/diagonal_scan_wkv.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/diagonal_scan_exp-inl.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// e^{past - m} and e^{now - m} with m the larger exponent: one of them is 1.
template <class V>
struct Weights {
  V past;
  V now;
};

template <class D, class V = hn::Vec<D>>
HWY_INLINE Weights<V> weights_of(D d, V past, V now) {
  const V one = hn::Set(d, hn::TFromD<D>{1});
  const V distance = hn::Abs(hn::Sub(past, now));
  const V smaller = power_of_two(d, hn::Mul(distance, hn::Set(d, -std::numbers::log2e_v<hn::TFromD<D>>)));
  const auto past_is_larger = hn::Ge(past, now);
  return {hn::IfThenElse(past_is_larger, one, smaller), hn::IfThenElse(past_is_larger, smaller, one)};
}

// A state moves by one step. Returns the weights of the state before and of the step's own value.
template <class D, class V = hn::Vec<D>>
HWY_INLINE Weights<V> advance(D d, V k, V v, V w, V& p, V& q, V& o) {
  const V past = hn::Add(w, o);
  const Weights<V> weights = weights_of(d, past, k);
  p = hn::MulAdd(weights.past, p, hn::Mul(weights.now, v));
  q = hn::MulAdd(weights.past, q, weights.now);
  o = hn::Max(past, k);
  return weights;
}

template <typename T>
void wkv(const ScanSizes& sizes, const WkvInputs<T>& inputs, const WkvOutputs<T>& outputs, const ChannelBlock& block) {
  const hn::ScalableTag<T> d;
  const std::int64_t C = sizes.channels, of_state = block.sequence * C + block.first;
  T* const state[] = {outputs.state.p + of_state, outputs.state.q + of_state, outputs.state.o + of_state};
  std::copy_n(inputs.state.p + of_state, block.count, state[0]);
  std::copy_n(inputs.state.q + of_state, block.count, state[1]);
  std::copy_n(inputs.state.o + of_state, block.count, state[2]);
  const std::int64_t chunks = (sizes.length + wkv_chunk - 1) / wkv_chunk;
  for (std::int64_t t = 0; t < sizes.length; ++t) {
    if (outputs.checkpoints != nullptr && t % wkv_chunk == 0) {
      T* to = outputs.checkpoints + (block.sequence * chunks + t / wkv_chunk) * 3 * C + block.first;
      for (std::int64_t i = 0; i < 3; ++i) std::copy_n(state[i], block.count, to + i * C);
    }
    const std::int64_t at = (block.sequence * sizes.length + t) * C + block.first;
    for_vectors(d, block.count, [&](std::int64_t c, auto part) HWY_ATTR {
      const auto k = part.load(d, inputs.k + at + c);
      const auto v = part.load(d, inputs.v + at + c);
      auto p = part.load(d, state[0] + c);
      auto q = part.load(d, state[1] + c);
      auto o = part.load(d, state[2] + c);
      const auto read = weights_of(d, o, hn::Add(part.load(d, inputs.u + block.first + c), k));
      const auto numerator = hn::MulAdd(read.past, p, hn::Mul(read.now, v));
      const auto denominator = hn::MulAdd(read.past, q, read.now);
      part.store(hn::Div(numerator, denominator), d, outputs.y + at + c);
      advance(d, k, v, part.load(d, inputs.w + block.first + c), p, q, o);
      part.store(p, d, state[0] + c);
      part.store(q, d, state[1] + c);
      part.store(o, d, state[2] + c);
    });
  }
}

// Rows of a block's channels that the backward pass keeps of each step of a chunk, and those that it carries.
constexpr std::int64_t rows_of_a_step = 6;
template <typename T>
struct WkvScratch {
  explicit WkvScratch(std::int64_t width_)
      : width(width_), values(static_cast<std::size_t>((rows_of_a_step * wkv_chunk + 8) * width_)) {}
  T* row(std::int64_t step, std::int64_t which) { return values.data() + (step * rows_of_a_step + which) * width; }
  T* carried(std::int64_t which) { return values.data() + (rows_of_a_step * wkv_chunk + which) * width; }

  std::int64_t width;
  PoolVector<T> values;
};

// States before each step of a chunk and the weights within it, from the state in carried rows 0, 1, 2. Meanwhile
// memory fetches what comes next: this chunk's results, and the inputs of the chunk before, which no processor
// foresees.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void states_of_chunk(D d, const WkvInputs<T>& inputs, const T* dy, const WkvGradients<T>& into,
                                  std::int64_t at, std::int64_t C, std::int64_t steps, const ChannelBlock& block,
                                  WkvScratch<T>& scratch) {
  for (std::int64_t i = 0; i < steps; ++i, at += C) {
    const std::int64_t before = std::max<std::int64_t>(at - wkv_chunk * C, 0);
    for_vectors(d, block.count, [&](std::int64_t c, auto part) HWY_ATTR {
      __builtin_prefetch(into.k + at + c, 1, 2);
      __builtin_prefetch(into.v + at + c, 1, 2);
      __builtin_prefetch(inputs.k + before + c, 0, 2);
      __builtin_prefetch(inputs.v + before + c, 0, 2);
      __builtin_prefetch(dy + before + c, 0, 2);
      const auto k = part.load(d, inputs.k + at + c);
      const auto v = part.load(d, inputs.v + at + c);
      auto p = part.load(d, scratch.carried(0) + c);
      auto q = part.load(d, scratch.carried(1) + c);
      auto o = part.load(d, scratch.carried(2) + c);
      part.store(p, d, scratch.row(i, 0) + c);
      part.store(q, d, scratch.row(i, 1) + c);
      const auto read = weights_of(d, o, hn::Add(part.load(d, inputs.u + block.first + c), k));
      part.store(read.past, d, scratch.row(i, 2) + c);
      part.store(read.now, d, scratch.row(i, 3) + c);
      const auto kept = advance(d, k, v, part.load(d, inputs.w + block.first + c), p, q, o);
      part.store(kept.past, d, scratch.row(i, 4) + c);
      part.store(kept.now, d, scratch.row(i, 5) + c);
      part.store(p, d, scratch.carried(0) + c);
      part.store(q, d, scratch.carried(1) + c);
      part.store(o, d, scratch.carried(2) + c);
    });
  }
}

// y and all later states depend on the state through p e^o and q e^o alone, so that o's gradient is p dp + q dq, and
// the maxima need no gradient. What the last state's o was given beyond that goes back to where its maximum came from.
template <typename T>
void wkv_gradient(const ScanSizes& sizes, const WkvInputs<T>& inputs, const T* checkpoints, const T* dy,
                  const WkvState<const T>& dstate, const WkvGradients<T>& into, const ChannelBlock& block) {
  const hn::ScalableTag<T> d;
  const std::int64_t C = sizes.channels, of_state = block.sequence * C + block.first;
  const std::int64_t chunks = (sizes.length + wkv_chunk - 1) / wkv_chunk;
  WkvScratch<T> scratch(block.count);
  T* const dp = into.state.p + of_state;
  T* const dq = into.state.q + of_state;
  T* const rest = into.state.o + of_state;  // of o's gradient
  T* const dw = into.w + of_state;
  T* const du = into.u + of_state;
  T *const dw_chunk = scratch.carried(3), *const du_chunk = scratch.carried(4);
  const auto start_with = [&](const T* from, T* to) {
    if (from != nullptr) {
      std::copy_n(from + of_state, block.count, to);
    } else {
      std::fill_n(to, block.count, T{0});
    }
  };
  start_with(dstate.p, dp);
  start_with(dstate.q, dq);
  start_with(dstate.o, rest);
  std::fill_n(dw, block.count, T{0});
  std::fill_n(du, block.count, T{0});

  for (std::int64_t chunk = chunks - 1; chunk >= 0; --chunk) {
    const std::int64_t first = chunk * wkv_chunk, steps = std::min(wkv_chunk, sizes.length - first);
    const T* checkpoint = checkpoints + (block.sequence * chunks + chunk) * 3 * C + block.first;
    for (std::int64_t i = 0; i < 3; ++i) std::copy_n(checkpoint + i * C, block.count, scratch.carried(i));
    const std::int64_t start = (block.sequence * sizes.length + first) * C + block.first;
    states_of_chunk(d, inputs, dy, into, start, C, steps, block, scratch);
    if (chunk == chunks - 1) {
      for_vectors(d, block.count, [&](std::int64_t c, auto part) HWY_ATTR {
        const auto through_q = hn::Mul(part.load(d, scratch.carried(1) + c), part.load(d, dq + c));
        const auto through_both = hn::MulAdd(part.load(d, scratch.carried(0) + c), part.load(d, dp + c), through_q);
        part.store(hn::Sub(part.load(d, rest + c), through_both), d, rest + c);
      });
    }
    std::fill_n(dw_chunk, block.count, T{0});
    std::fill_n(du_chunk, block.count, T{0});
    for (std::int64_t i = steps - 1; i >= 0; --i) {
      const std::int64_t at = start + i * C;
      for_vectors(d, block.count, [&](std::int64_t c, auto part) HWY_ATTR {
        const auto v = part.load(d, inputs.v + at + c);
        const auto p = part.load(d, scratch.row(i, 0) + c);
        const auto q = part.load(d, scratch.row(i, 1) + c);
        const auto read_past = part.load(d, scratch.row(i, 2) + c);
        const auto read_now = part.load(d, scratch.row(i, 3) + c);
        const auto kept_past = part.load(d, scratch.row(i, 4) + c);
        const auto kept_now = part.load(d, scratch.row(i, 5) + c);
        const auto dp_after = part.load(d, dp + c);
        const auto dq_after = part.load(d, dq + c);
        const auto rest_after = part.load(d, rest + c);
        const auto zero = hn::Zero(d);

        // y = numerator / denominator
        const auto one = hn::Set(d, T{1});
        const auto inverse = hn::Div(one, hn::MulAdd(read_past, q, read_now));
        const auto y = hn::Mul(hn::MulAdd(read_past, p, hn::Mul(read_now, v)), inverse);
        const auto dnumerator = hn::Mul(part.load(d, dy + at + c), inverse);
        const auto ddenominator = hn::Neg(hn::Mul(dnumerator, y));
        const auto through_u = hn::Mul(read_now, hn::MulAdd(dnumerator, v, ddenominator));
        part.store(hn::Add(part.load(d, du_chunk + c), through_u), d, du_chunk + c);

        // the next state
        const auto through_k = hn::Mul(kept_now, hn::MulAdd(dp_after, v, dq_after));
        const auto dv = hn::MulAdd(read_now, dnumerator, hn::Mul(kept_now, dp_after));
        part.store(dv, d, into.v + at + c);
        const auto from_past = hn::Eq(kept_past, one);
        const auto dk = hn::Add(hn::Add(through_u, through_k), hn::IfThenElse(from_past, zero, rest_after));
        part.store(dk, d, into.k + at + c);
        const auto rest_before = hn::IfThenElse(from_past, rest_after, zero);
        part.store(rest_before, d, rest + c);
        const auto past_p = hn::Mul(kept_past, dp_after);
        const auto past_q = hn::Mul(kept_past, dq_after);
        const auto through_w = hn::Add(hn::MulAdd(past_p, p, hn::Mul(past_q, q)), rest_before);
        part.store(hn::Add(part.load(d, dw_chunk + c), through_w), d, dw_chunk + c);
        part.store(hn::MulAdd(read_past, dnumerator, past_p), d, dp + c);
        part.store(hn::MulAdd(read_past, ddenominator, past_q), d, dq + c);
      });
    }
    // Sums of sums, so that long ones lose little.
    for_vectors(d, block.count, [&](std::int64_t c, auto part) HWY_ATTR {
      part.store(hn::Add(part.load(d, dw + c), part.load(d, dw_chunk + c)), d, dw + c);
      part.store(hn::Add(part.load(d, du + c), part.load(d, du_chunk + c)), d, du + c);
    });
  }
  for_vectors(d, block.count, [&](std::int64_t c, auto part) HWY_ATTR {
    const auto through_q = hn::Mul(part.load(d, inputs.state.q + of_state + c), part.load(d, dq + c));
    const auto through_both = hn::MulAdd(part.load(d, inputs.state.p + of_state + c), part.load(d, dp + c), through_q);
    part.store(hn::Add(part.load(d, rest + c), through_both), d, rest + c);
  });
}

// For the dispatch, which takes no templates.
void wkv_float(const ScanSizes& sizes, const WkvInputs<float>& inputs, const WkvOutputs<float>& outputs,
               const ChannelBlock& block) {
  wkv(sizes, inputs, outputs, block);
}
void wkv_double(const ScanSizes& sizes, const WkvInputs<double>& inputs, const WkvOutputs<double>& outputs,
                const ChannelBlock& block) {
  wkv(sizes, inputs, outputs, block);
}
void wkv_gradient_float(const ScanSizes& sizes, const WkvInputs<float>& inputs, const float* checkpoints,
                        const float* dy, const WkvState<const float>& dstate, const WkvGradients<float>& into,
                        const ChannelBlock& block) {
  wkv_gradient(sizes, inputs, checkpoints, dy, dstate, into, block);
}
void wkv_gradient_double(const ScanSizes& sizes, const WkvInputs<double>& inputs, const double* checkpoints,
                         const double* dy, const WkvState<const double>& dstate, const WkvGradients<double>& into,
                         const ChannelBlock& block) {
  wkv_gradient(sizes, inputs, checkpoints, dy, dstate, into, block);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(wkv_float);
HWY_EXPORT(wkv_double);
HWY_EXPORT(wkv_gradient_float);
HWY_EXPORT(wkv_gradient_double);

namespace {

// As many as leave a chunk's states in the second-level cache; rows of a whole block are read in order.
constexpr std::int64_t block_channels = 256;
// Of a step, in loads and stores.
constexpr std::int64_t cost = 8;

}  // namespace

void wkv_forward(const ScanSizes& sizes, const WkvInputs<float>& inputs, const WkvOutputs<float>& outputs) {
  for_channel_blocks(sizes.batch, sizes.channels, block_channels, cost * sizes.length, [&](const ChannelBlock& block) {
    HWY_DYNAMIC_DISPATCH(wkv_float)(sizes, inputs, outputs, block);
  });
}

void wkv_forward(const ScanSizes& sizes, const WkvInputs<double>& inputs, const WkvOutputs<double>& outputs) {
  for_channel_blocks(sizes.batch, sizes.channels, block_channels, cost * sizes.length, [&](const ChannelBlock& block) {
    HWY_DYNAMIC_DISPATCH(wkv_double)(sizes, inputs, outputs, block);
  });
}

void wkv_backward(const ScanSizes& sizes, const WkvInputs<float>& inputs, const float* checkpoints, const float* dy,
                  const WkvState<const float>& dstate, const WkvGradients<float>& into) {
  for_channel_blocks(sizes.batch, sizes.channels, block_channels, cost * sizes.length, [&](const ChannelBlock& block) {
    HWY_DYNAMIC_DISPATCH(wkv_gradient_float)(sizes, inputs, checkpoints, dy, dstate, into, block);
  });
}

void wkv_backward(const ScanSizes& sizes, const WkvInputs<double>& inputs, const double* checkpoints, const double* dy,
                  const WkvState<const double>& dstate, const WkvGradients<double>& into) {
  for_channel_blocks(sizes.batch, sizes.channels, block_channels, cost * sizes.length, [&](const ChannelBlock& block) {
    HWY_DYNAMIC_DISPATCH(wkv_gradient_double)(sizes, inputs, checkpoints, dy, dstate, into, block);
  });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
