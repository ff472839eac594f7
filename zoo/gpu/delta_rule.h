#pragma once

#include <cstdint>
#include <vector>

#include "zoo/cpu/delta_rule.h"
#include "zoo/gpu/launch_shape.h"
#include "zoo/gpu/precision.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// Whether the kernels below can compute with device(): 64 columns of a state, dk rows, must fit into the shared memory
/// of a block.
bool delta_rule_fits(const cpu::DeltaRuleSizes& sizes);

/// The delta rule of zoo/cpu/delta_rule.h, which says what the fields mean, in chunks of 64 steps; all pointers are to
/// device memory. `checkpoints` are delta_rule_checkpoints() floats: the state before each chunk, [chunks,B,H,dk,dv],
/// and u = v - k S of each step, [B,T,H,dv]. `workspace` is delta_rule_forward_workspace() floats. Throws Error for
/// sizes that do not fit.
void delta_rule_forward(const cpu::DeltaRuleSizes& sizes, const cpu::DeltaRuleInputs<float>& inputs,
                        const cpu::DeltaRuleOutputs<float>& outputs, float* checkpoints, float* workspace,
                        Precision precision, Stream& stream);
std::int64_t delta_rule_checkpoints(const cpu::DeltaRuleSizes& sizes);
std::int64_t delta_rule_forward_workspace(const cpu::DeltaRuleSizes& sizes);

/// The gradients for those of y and of the last state (nullptr: zero), as cpu::delta_rule_backward, given the forward
/// pass's checkpoints. `workspace` is delta_rule_backward_workspace() floats. Throws as delta_rule_forward does.
void delta_rule_backward(const cpu::DeltaRuleSizes& sizes, const cpu::DeltaRuleInputs<float>& inputs,
                         const cpu::DeltaRuleOutputs<const float>& output_gradients, const float* checkpoints,
                         const cpu::DeltaRuleGradients<float>& gradients, float* workspace, Precision precision,
                         Stream& stream);
std::int64_t delta_rule_backward_workspace(const cpu::DeltaRuleSizes& sizes);

/// The kernels that delta_rule_forward launches, and those that delta_rule_backward does.
std::vector<LaunchShape> delta_rule_forward_kernels(const cpu::DeltaRuleSizes& sizes);
std::vector<LaunchShape> delta_rule_backward_kernels(const cpu::DeltaRuleSizes& sizes);

/// Bytes that they move through shared memory (shared_traffic.h), in float32; with the gradient of the decay, and from
/// the gradient of the last state, where there is one.
double delta_rule_forward_traffic(const cpu::DeltaRuleSizes& sizes);
double delta_rule_backward_traffic(const cpu::DeltaRuleSizes& sizes, bool decay, bool last_state);

}  // namespace zoo::gpu
