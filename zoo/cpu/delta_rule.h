#pragma once

#include <algorithm>
#include <cstdint>

namespace zoo::cpu {

/// Extents of the delta rule: q, k [B,T,H,dk], v [B,T,H,dv], beta and log_decay [B,T,H], states [B,H,dk,dv].
struct DeltaRuleSizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t heads = 1;
  std::int64_t dk = 0;
  std::int64_t dv = 0;
};

/// Pairs of a sequence and a head that are worth a thread.
inline std::int64_t delta_rule_grain(const DeltaRuleSizes& sizes) {
  return 1 + 200000 / std::max<std::int64_t>(sizes.length * sizes.dk * sizes.dv, 1);
}

template <typename T>
struct DeltaRuleInputs {
  const T* q;
  const T* k;
  const T* v;
  const T* beta;
  const T* initial;
  const T* log_decay;  ///< nullptr for none
};

template <typename T>
struct DeltaRuleOutputs {
  T* y;
  T* state;
};

/// As the inputs; log_decay is nullptr where nobody wants it.
template <typename T>
struct DeltaRuleGradients {
  T* q;
  T* k;
  T* v;
  T* beta;
  T* initial;
  T* log_decay;
};

/// e_t = beta_t (v_t - k_t S); S <- S + k_t^T e_t; y_t = q_t S, where S first decays. A chunk of steps at a time (Yang
/// et al. 2024, "Parallelizing linear transformers with the delta rule over sequence length", section 3.2): the e of a
/// chunk solve a unit lower triangular system.
void delta_rule_forward(const DeltaRuleSizes& sizes, const DeltaRuleInputs<float>& inputs,
                        const DeltaRuleOutputs<float>& outputs);
void delta_rule_forward(const DeltaRuleSizes& sizes, const DeltaRuleInputs<double>& inputs,
                        const DeltaRuleOutputs<double>& outputs);
/// The gradients of the inputs for those of y and of the last state (nullptr: zero). What the forward pass computed is
/// computed again, a head at a time; beside the gradients a thread holds the states between the chunks of one head.
void delta_rule_backward(const DeltaRuleSizes& sizes, const DeltaRuleInputs<float>& inputs,
                         const DeltaRuleOutputs<const float>& output_gradients,
                         const DeltaRuleGradients<float>& gradients);
void delta_rule_backward(const DeltaRuleSizes& sizes, const DeltaRuleInputs<double>& inputs,
                         const DeltaRuleOutputs<const double>& output_gradients,
                         const DeltaRuleGradients<double>& gradients);

}  // namespace zoo::cpu
