#include "zoo/gpu/delta_rule.h"
#include "zoo/gpu/delta_rule_chunk.h"
#include "zoo/gpu/extent.h"

namespace zoo::gpu {

namespace {

constexpr const char* family = "delta_rule";

delta::Extents unchecked(const cpu::DeltaRuleSizes& sizes, bool decay) {
  const int heads = extent(family, "heads", sizes.heads, 1);
  return {.batch = extent(family, "batch", sizes.batch),
          .length = extent(family, "length", sizes.length),
          .heads = heads,
          .groups = heads,
          .parts = 1,
          .dk = extent(family, "dk", sizes.dk, 1),
          .dv = extent(family, "dv", sizes.dv, 1),
          .decay = decay ? cpu::RecurrenceDecay::head_and_step : cpu::RecurrenceDecay::none};
}

bool fits(const delta::Extents& sizes) {
  return delta::walk_shape(sizes).shared_bytes <= device().shared_bytes_per_block;
}

}  // namespace

delta::Extents delta::checked(const cpu::DeltaRuleSizes& sizes, bool decay) {
  const Extents result = unchecked(sizes, decay);
  if (!fits(result))
    throw Error("{} on the GPU: dk is {}; a state's columns need {} bytes of shared memory, a block of {} has {}",
                family, sizes.dk, walk_shape(result).shared_bytes, device().name, device().shared_bytes_per_block);
  return result;
}

bool delta_rule_fits(const cpu::DeltaRuleSizes& sizes) {
  return fits(unchecked(sizes, false));
}

std::int64_t delta_rule_checkpoints(const cpu::DeltaRuleSizes& sizes) {
  return delta::checked(sizes, false).states() + sizes.batch * sizes.length * sizes.heads * sizes.dv;
}

std::int64_t delta_rule_forward_workspace(const cpu::DeltaRuleSizes& sizes) {
  return sizes.batch * sizes.length * sizes.heads * sizes.dk;
}

void delta_rule_forward(const cpu::DeltaRuleSizes& sizes, const cpu::DeltaRuleInputs<float>& inputs,
                        const cpu::DeltaRuleOutputs<float>& outputs, float* checkpoints, float* workspace,
                        Precision precision, Stream& stream) {
  const delta::Extents extents = delta::checked(sizes, inputs.log_decay != nullptr);
  float* u = checkpoints + extents.states();
  const delta::Solved solved = {u, workspace};
  delta::solve_forward(extents, inputs, solved, precision, stream);
  delta::walk_forward(extents, inputs, solved, checkpoints, outputs.state, precision, stream);
  // With the states known, y is a linear recurrence's, which writes beta u under k.
  cpu::RecurrenceInputs<float> written = {};
  written.q = inputs.q;
  written.k = inputs.k;
  written.v = u;
  written.log_decay = inputs.log_decay;
  written.step = inputs.beta;
  recurrence::read_outputs(extents, written, checkpoints, outputs.y, precision, stream);
}

std::vector<LaunchShape> delta_rule_forward_kernels(const cpu::DeltaRuleSizes& sizes) {
  const delta::Extents extents = delta::checked(sizes, false);
  return {delta::solve_shape(extents), delta::walk_shape(extents), recurrence::outputs_shape(extents)};
}

}  // namespace zoo::gpu
