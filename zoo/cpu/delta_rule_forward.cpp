#include <algorithm>

#include "zoo/core/parallel.h"
#include "zoo/cpu/delta_rule.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/delta_rule_forward.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/delta_rule_chunk-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace delta {

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void forward_head(D d, const DeltaRuleInputs<T>& inputs, const DeltaRuleOutputs<T>& outputs,
                               const Head& head, Chunk<T>& scratch, T* u) {
  const std::int64_t dk = head.sizes->dk, dv = head.sizes->dv;
  T* state = head.state(outputs.state);
  std::copy_n(head.state(inputs.initial), dk * dv, state);
  bool zero = all_zero(state, dk * dv);
  for (std::int64_t first = 0; first < head.sizes->length; first += chunk) {
    const Steps<T> steps(head, inputs, first);
    const Rowwise<T> y = head.steps(outputs.y, first, dv);
    prepare(d, dk, steps, scratch);
    solve_errors(d, dk, dv, steps, state, zero, scratch, Rowwise<T>{u, dv});

    query_scores(d, dk, steps, scratch);
    const Strided<T> P{scratch.P.data(), chunk, 1};
    const Rowwise<const T> e = constant(scratch.e_rows(dv));
    if (zero) {
      small_matmul_within<false>(d, steps.n, P, e, y, lower_terms(dv));
    } else {
      small_matmul<false>(d, steps.n, dv, dk, by_rows(steps.q), Rowwise<const T>{state, dv}, y);
      if (scratch.decays.present) scale_rows(d, steps.n, dv, scratch.decays.from_start, constant(y), y);
      small_matmul_within<true>(d, steps.n, P, e, y, lower_terms(dv));
    }
    advance(d, dk, dv, steps.n, scratch, state);
    zero = false;
  }
}

// Items [begin, end) of the B * H pairs of a sequence and a head.
template <typename T>
void forward_part(const DeltaRuleSizes& sizes, const DeltaRuleInputs<T>& inputs, const DeltaRuleOutputs<T>& outputs,
                  std::int64_t begin, std::int64_t end) {
  Chunk<T> scratch(sizes);
  PoolVector<T> u(static_cast<std::size_t>(scratch.rows * sizes.dv));
  for (std::int64_t item = begin; item < end; ++item) {
    const Head head{&sizes, item / sizes.heads, item % sizes.heads};
    forward_head(hn::ScalableTag<T>(), inputs, outputs, head, scratch, u.data());
  }
}

}  // namespace delta

// For the dispatch, which takes no templates.
void delta_forward_float(const DeltaRuleSizes& sizes, const DeltaRuleInputs<float>& inputs,
                         const DeltaRuleOutputs<float>& outputs, std::int64_t begin, std::int64_t end) {
  delta::forward_part(sizes, inputs, outputs, begin, end);
}
void delta_forward_double(const DeltaRuleSizes& sizes, const DeltaRuleInputs<double>& inputs,
                          const DeltaRuleOutputs<double>& outputs, std::int64_t begin, std::int64_t end) {
  delta::forward_part(sizes, inputs, outputs, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(delta_forward_float);
HWY_EXPORT(delta_forward_double);

void delta_rule_forward(const DeltaRuleSizes& sizes, const DeltaRuleInputs<float>& inputs,
                        const DeltaRuleOutputs<float>& outputs) {
  parallel_for(sizes.batch * sizes.heads, delta_rule_grain(sizes), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(delta_forward_float)(sizes, inputs, outputs, begin, end);
  });
}

void delta_rule_forward(const DeltaRuleSizes& sizes, const DeltaRuleInputs<double>& inputs,
                        const DeltaRuleOutputs<double>& outputs) {
  parallel_for(sizes.batch * sizes.heads, delta_rule_grain(sizes), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(delta_forward_double)(sizes, inputs, outputs, begin, end);
  });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
