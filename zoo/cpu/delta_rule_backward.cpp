#include <algorithm>

#include "zoo/core/parallel.h"
#include "zoo/cpu/delta_rule.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/delta_rule_backward.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/delta_rule_chunk-inl.h"

// With the names of delta_rule_chunk-inl.h, and G the gradient of the state after the chunk:
//
//   de_s = D_ns k_s G + sum_{t>=s} P_ts dy_t - sum_{t>s} M_ts du_t,  du_s = beta_s de_s = dv_s,  dbeta_s = u_s.de_s
//   dP_ts = D_ts dy_t.e_s (s <= t),  dM_ts = -D_ts du_t.e_s (s < t)
//   dq_t = D_t dy_t S_0^T + sum_s dP_ts k_s
//   dk_s = D_ns e_s G^T - D_s du_s S_0^T + sum_t (dP_ts q_t + dM_ts k_t + dM_st k_t)
//   dS_0 = D_n G + sum_t D_t (q_t^T dy_t - k_t^T du_t)
HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace delta {

// Scratch memory of a thread beside that of a chunk. The states before each chunk of a head are kept.
template <typename T>
struct BackwardScratch {
  explicit BackwardScratch(const DeltaRuleSizes& sizes)
      : chunk_scratch(sizes),
        states(static_cast<std::size_t>((sizes.length + chunk - 1) / chunk * sizes.dk * sizes.dv)),
        u(static_cast<std::size_t>(sizes.length * sizes.dv)),
        de(static_cast<std::size_t>(chunk_scratch.rows * sizes.dv)),
        dy_decayed(de.size()),
        du_decayed(de.size()),
        e_transposed(de.size()),
        by_key(static_cast<std::size_t>(chunk_scratch.rows * sizes.dk)),
        state_transposed(static_cast<std::size_t>(sizes.dk * sizes.dv)),
        dP(static_cast<std::size_t>(chunk_scratch.rows * chunk)),
        dM(dP.size()) {}

  Chunk<T> chunk_scratch;
  PoolVector<T> states;            // [chunk][dk][dv]
  PoolVector<T> u;                 // [T][dv]
  PoolVector<T> de;                // [step][dv]
  PoolVector<T> dy_decayed;        // [step][dv]
  PoolVector<T> du_decayed;        // [step][dv], negative
  PoolVector<T> e_transposed;      // [dv][step]
  PoolVector<T> by_key;            // [step][dk]
  PoolVector<T> state_transposed;  // [dv][dk]
  PoolVector<T> dP;                // [t][s]
  PoolVector<T> dM;                // [t][s]
};

// What flows through each decay of a chunk. The gradient of a step's log decay is the sum over all paths from a writer
// to a reader that pass it, each taken as the value times its gradient. Summed as it is written, without differences of
// large numbers: of pairs that do not pass the step there is no part in it.
template <typename T>
class DecayFlow {
 public:
  explicit DecayFlow(std::int64_t n) : n_(n) {}

  // Pairs s < t by the values (decayed) and their gradients (not yet decayed), times sign.
  void add_pairs(const T* values, const T* gradients, double sign) {
    for (std::int64_t t = 0; t < n_; ++t) {
      double row = 0;
      for (std::int64_t s = 0; s < t; ++s) {
        const double flow = sign * static_cast<double>(values[t * chunk + s] * gradients[t * chunk + s]);
        row += flow;
        written_[s] += flow;
      }
      read_[t] += row;
    }
  }
  // From the state before the chunk to step t, from step s to the state after it, and from the one to the other.
  void add_from_start(std::int64_t t, T flow) { from_start_[t] += static_cast<double>(flow); }
  void add_to_end(std::int64_t s, T flow) { to_end_[s] += static_cast<double>(flow); }
  void add_through(double flow) { through_ += flow; }

  void store(const Rowwise<T>& dlog_decay) const {
    double from_start = through_;
    for (std::int64_t t = 0; t < n_; ++t) from_start += from_start_[t];
    double to_end = 0, pairs = 0;
    for (std::int64_t t = 0; t < n_; ++t) {
      dlog_decay.data[t * dlog_decay.stride] = static_cast<T>(from_start + to_end + pairs);
      from_start -= from_start_[t];
      to_end += to_end_[t];
      pairs += written_[t] - read_[t];
    }
  }

 private:
  std::int64_t n_;
  double read_[chunk] = {};
  double written_[chunk] = {};
  double from_start_[chunk] = {};
  double to_end_[chunk] = {};
  double through_ = 0;
};

// Forward in time: u of all steps, and the states before the chunks.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void recompute(D d, const DeltaRuleInputs<T>& inputs, const Head& head, BackwardScratch<T>& scratch) {
  const std::int64_t dk = head.sizes->dk, dv = head.sizes->dv;
  Chunk<T>& part = scratch.chunk_scratch;
  T* state = scratch.states.data();
  std::copy_n(head.state(inputs.initial), dk * dv, state);
  for (std::int64_t first = 0; first < head.sizes->length; first += chunk) {
    const Steps<T> steps(head, inputs, first);
    prepare(d, dk, steps, part);
    const bool zero = first == 0 && all_zero(state, dk * dv);
    solve_errors(d, dk, dv, steps, state, zero, part, Rowwise<T>{scratch.u.data() + first * dv, dv});
    if (first + chunk >= head.sizes->length) break;
    T* next = state + dk * dv;
    std::copy_n(state, dk * dv, next);
    advance(d, dk, dv, steps.n, part, next);
    state = next;
  }
}

// de, du = dv and dbeta.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void error_gradients(D d, const Head& head, const Steps<T>& steps, const Rowwise<const T>& dy,
                                const T* dstate, const T* u, const Rowwise<T>& dv_rows, const Rowwise<T>& dbeta,
                                BackwardScratch<T>& scratch) {
  const std::int64_t n = steps.n, dk = head.sizes->dk, dv = head.sizes->dv;
  Chunk<T>& part = scratch.chunk_scratch;
  const Rowwise<T> de{scratch.de.data(), dv};
  small_matmul<false>(d, n, dv, dk, by_rows(steps.k), Rowwise<const T>{dstate, dv}, de);
  if (part.decays.present) scale_rows(d, n, dv, part.decays.to_end, constant(de), de);
  small_matmul_within<true>(d, n, Strided<T>{part.P.data(), 1, chunk}, dy, de, upper_terms(dv, n));
  // The system of the errors, transposed: the same from the last step to the first.
  const auto reversed = [n](const Rowwise<T>& rows) {
    return Rowwise<T>{rows.data + (n - 1) * rows.stride, -rows.stride};
  };
  solve(d, n, dv, Strided<T>{part.M.data() + (n - 1) * (chunk + 1), -1, -chunk}, part.beta + n - 1, -1, reversed(de),
        reversed(dv_rows));
  for (std::int64_t t = 0; t < n; ++t) dbeta.data[t * dbeta.stride] = dot(d, dv, u + t * dv, de.data + t * dv);
}

// sum over channels of a_t b_t, row by row, into `add`.
template <class D, class Add, typename T = hn::TFromD<D>>
HWY_INLINE void row_dots(D d, std::int64_t n, std::int64_t channels, const Rowwise<const T>& a,
                         const Rowwise<const T>& b, const Add& add) {
  for (std::int64_t t = 0; t < n; ++t) add(t, dot(d, channels, a.data + t * a.stride, b.data + t * b.stride));
}

template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void add_rows(D d, std::int64_t n, std::int64_t channels, const Rowwise<const T>& from,
                         const Rowwise<T>& to) {
  for (std::int64_t t = 0; t < n; ++t) {
    T* row = to.data + t * to.stride;
    for_vectors(d, channels, [&](std::int64_t j, auto part) HWY_ATTR {
      part.store(hn::Add(part.load(d, row + j), part.load(d, from.data + t * from.stride + j)), d, row + j);
    });
  }
}

// The gradients of one chunk, whose state before it is given; `dstate` is the gradient of the state after it, and then
// of the one before it.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void backward_chunk(D d, const DeltaRuleInputs<T>& inputs, const T* dy_all,
                                 const DeltaRuleGradients<T>& into, const Head& head, std::int64_t first,
                                 const T* state, bool zero, T* dstate, BackwardScratch<T>& scratch) {
  const std::int64_t dk = head.sizes->dk, dv = head.sizes->dv;
  Chunk<T>& part = scratch.chunk_scratch;
  const Steps<T> steps(head, inputs, first);
  const std::int64_t n = steps.n;
  const Rowwise<const T> dy = head.steps(dy_all, first, dv);
  const Rowwise<T> dq = head.steps(into.q, first, dk);
  const Rowwise<T> dk_rows = head.steps(into.k, first, dk);
  const Rowwise<T> du = head.steps(into.v, first, dv);
  const bool decayed = inputs.log_decay != nullptr;
  const bool flows = into.log_decay != nullptr;
  DecayFlow<T> flow(n);

  prepare(d, dk, steps, part);
  query_scores(d, dk, steps, part);
  const T* u = scratch.u.data() + first * dv;
  scale_rows(d, n, dv, part.beta, Rowwise<const T>{u, dv}, part.e_rows(dv));
  error_gradients(d, head, steps, dy, dstate, u, du, head.steps(into.beta, first, 1), scratch);

  // dP and dM, which are products with all errors.
  const Rowwise<const T> e = constant(part.e_rows(dv));
  const Rowwise<T> e_transposed{scratch.e_transposed.data(), part.rows};
  transpose(d, n, dv, e, e_transposed);
  T* dP = scratch.dP.data();
  T* dM = scratch.dM.data();
  small_matmul_within<false>(d, n, by_rows(dy), constant(e_transposed), Rowwise<T>{dP, chunk}, lower_columns(dv));
  const Rowwise<T> du_decayed{scratch.du_decayed.data(), dv};
  T factors[chunk];
  std::fill_n(factors, n, T{-1});
  scale_rows(d, n, dv, factors, constant(du), du_decayed);
  small_matmul_within<false>(d, n, by_rows(constant(du_decayed)), constant(e_transposed), Rowwise<T>{dM, chunk},
                             lower_columns(dv));
  if (flows) {
    flow.add_pairs(part.P.data(), dP, 1);
    flow.add_pairs(part.M.data(), dM, 1);
  }
  mask_and_decay(d, n, /*diagonal=*/true, part.decays, dP);
  mask_and_decay(d, n, /*diagonal=*/false, part.decays, dM);

  // What reads the state before the chunk: queries, and keys in the errors.
  Rowwise<const T> dy_decayed = dy;
  if (decayed) {
    scale_rows(d, n, dv, part.decays.from_start, dy, Rowwise<T>{scratch.dy_decayed.data(), dv});
    dy_decayed = {scratch.dy_decayed.data(), dv};
    scale_rows(d, n, dv, part.decays.from_start, constant(du_decayed), du_decayed);
  }
  const Rowwise<T> transposed{scratch.state_transposed.data(), dk};
  const Rowwise<T> by_key{scratch.by_key.data(), dk};
  if (zero) {
    for (std::int64_t t = 0; t < n; ++t) {
      std::fill_n(dq.data + t * dq.stride, dk, T{0});
      std::fill_n(dk_rows.data + t * dk_rows.stride, dk, T{0});
    }
  } else {
    transpose(d, dk, dv, Rowwise<const T>{state, dv}, transposed);
    small_matmul<false>(d, n, dk, dv, by_rows(dy_decayed), constant(transposed), dq);
    small_matmul<false>(d, n, dk, dv, by_rows(constant(du_decayed)), constant(transposed), dk_rows);
    if (flows) {
      const auto add = [&flow](std::int64_t t, T value) { flow.add_from_start(t, value); };
      row_dots(d, n, dk, steps.q, constant(dq), add);
      row_dots(d, n, dk, steps.k, constant(dk_rows), add);
    }
  }

  // What writes the state after the chunk.
  transpose(d, dk, dv, Rowwise<const T>{dstate, dv}, transposed);
  Rowwise<const T> e_decayed = e;
  if (decayed) {
    scale_rows(d, n, dv, part.decays.to_end, e, Rowwise<T>{part.scaled.data(), dv});
    e_decayed = {part.scaled.data(), dv};
  }
  if (flows) {
    small_matmul<false>(d, n, dk, dv, by_rows(e_decayed), constant(transposed), by_key);
    row_dots(d, n, dk, steps.k, constant(by_key), [&flow](std::int64_t s, T value) { flow.add_to_end(s, value); });
    add_rows(d, n, dk, constant(by_key), dk_rows);
    if (!zero) flow.add_through(static_cast<double>(part.decays.whole * dot(d, dk * dv, state, dstate)));
    flow.store(head.steps(into.log_decay, first, 1));
  } else {
    small_matmul<true>(d, n, dk, dv, by_rows(e_decayed), constant(transposed), dk_rows);
  }

  // Among the steps of the chunk.
  small_matmul_within<true>(d, n, Strided<T>{dP, chunk, 1}, steps.k, dq, lower_terms(dk));
  small_matmul_within<true>(d, n, Strided<T>{dP, 1, chunk}, steps.q, dk_rows, upper_terms(dk, n));
  small_matmul_within<true>(d, n, Strided<T>{dM, 1, chunk}, steps.k, dk_rows, upper_terms(dk, n));
  small_matmul_within<true>(d, n, Strided<T>{dM, chunk, 1}, steps.k, dk_rows, lower_terms(dk));

  if (decayed) {
    const auto whole = hn::Set(d, part.decays.whole);
    for_vectors(d, dk * dv, [&](std::int64_t i, auto lanes) HWY_ATTR {
      lanes.store(hn::Mul(lanes.load(d, dstate + i), whole), d, dstate + i);
    });
  }
  small_matmul<true>(d, dk, dv, n, by_columns(steps.q), dy_decayed, Rowwise<T>{dstate, dv});
  small_matmul<true>(d, dk, dv, n, by_rows(constant(part.k_columns())), constant(du_decayed), Rowwise<T>{dstate, dv});
}

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void backward_head(D d, const DeltaRuleInputs<T>& inputs, const DeltaRuleOutputs<const T>& dy,
                                const DeltaRuleGradients<T>& into, const Head& head, BackwardScratch<T>& scratch) {
  const std::int64_t state_size = head.sizes->dk * head.sizes->dv;
  T* dstate = head.state(into.initial);
  if (dy.state != nullptr) {
    std::copy_n(head.state(dy.state), state_size, dstate);
  } else {
    std::fill_n(dstate, state_size, T{0});
  }
  recompute(d, inputs, head, scratch);
  for (std::int64_t index = (head.sizes->length - 1) / chunk; index >= 0; --index) {
    const T* state = scratch.states.data() + index * state_size;
    const bool zero = index == 0 && all_zero(state, state_size);
    backward_chunk(d, inputs, dy.y, into, head, index * chunk, state, zero, dstate, scratch);
  }
}

// Items [begin, end) of the B * H pairs of a sequence and a head.
template <typename T>
void backward_part(const DeltaRuleSizes& sizes, const DeltaRuleInputs<T>& inputs, const DeltaRuleOutputs<const T>& dy,
                   const DeltaRuleGradients<T>& into, std::int64_t begin, std::int64_t end) {
  BackwardScratch<T> scratch(sizes);
  for (std::int64_t item = begin; item < end; ++item) {
    const Head head{&sizes, item / sizes.heads, item % sizes.heads};
    backward_head(hn::ScalableTag<T>(), inputs, dy, into, head, scratch);
  }
}

}  // namespace delta

// For the dispatch, which takes no templates.
void delta_backward_float(const DeltaRuleSizes& sizes, const DeltaRuleInputs<float>& inputs,
                          const DeltaRuleOutputs<const float>& dy, const DeltaRuleGradients<float>& into,
                          std::int64_t begin, std::int64_t end) {
  delta::backward_part(sizes, inputs, dy, into, begin, end);
}
void delta_backward_double(const DeltaRuleSizes& sizes, const DeltaRuleInputs<double>& inputs,
                           const DeltaRuleOutputs<const double>& dy, const DeltaRuleGradients<double>& into,
                           std::int64_t begin, std::int64_t end) {
  delta::backward_part(sizes, inputs, dy, into, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(delta_backward_float);
HWY_EXPORT(delta_backward_double);

void delta_rule_backward(const DeltaRuleSizes& sizes, const DeltaRuleInputs<float>& inputs,
                         const DeltaRuleOutputs<const float>& output_gradients,
                         const DeltaRuleGradients<float>& gradients) {
  parallel_for(sizes.batch * sizes.heads, delta_rule_grain(sizes), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(delta_backward_float)(sizes, inputs, output_gradients, gradients, begin, end);
  });
}

void delta_rule_backward(const DeltaRuleSizes& sizes, const DeltaRuleInputs<double>& inputs,
                         const DeltaRuleOutputs<const double>& output_gradients,
                         const DeltaRuleGradients<double>& gradients) {
  parallel_for(sizes.batch * sizes.heads, delta_rule_grain(sizes), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(delta_backward_double)(sizes, inputs, output_gradients, gradients, begin, end);
  });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
