#pragma once

// What the delta rule's kernels share. Within a chunk of 64 steps, with the names of zoo/cpu/delta_rule_chunk-inl.h and
// G the gradient of the state after the chunk:
//
//   u = T (v - D k S_0),               T = (I + M beta)^-1
//   de = N^T (P^T dy + D_n k G),       N = (I + beta M)^-1,   du = beta de
//
// so that all but a product with the state is computed for all chunks side by side (solve); then a block walks through
// the chunks of a head (walk), forward with S and u, or backward with G and de.

#include "zoo/cpu/delta_rule.h"
#include "zoo/gpu/linear_recurrence_chunk.h"

namespace zoo::gpu::delta {

using recurrence::Extents;

/// Throws Error for sizes that are out of range or do not fit.
Extents checked(const cpu::DeltaRuleSizes& sizes, bool decay);

/// What the chunks do beside the state. Forward, [B,T,H,dv] T v and [B,T,H,dk] T D k; backward, N^T P^T dy and
/// N^T D_n k.
struct Solved {
  float* values;
  float* keys;
};
void solve_forward(const Extents& sizes, const cpu::DeltaRuleInputs<float>& inputs, const Solved& solved,
                   Precision precision, Stream& stream);
void solve_backward(const Extents& sizes, const cpu::DeltaRuleInputs<float>& inputs, const float* dy,
                    const Solved& solved, Precision precision, Stream& stream);

/// From the state before the first chunk, inputs.initial, those before all chunks and the one behind the last, and u in
/// place of solved.values.
void walk_forward(const Extents& sizes, const cpu::DeltaRuleInputs<float>& inputs, const Solved& solved, float* states,
                  float* last, Precision precision, Stream& stream);
/// From the gradient of the state behind the last chunk (nullptr: zero), those of the states after all chunks and of
/// the initial one, de in place of solved.values, and dv.
void walk_backward(const Extents& sizes, const cpu::DeltaRuleInputs<float>& inputs, const float* dy, const float* dlast,
                   const Solved& solved, float* dstates, float* dinitial, float* dv, Precision precision,
                   Stream& stream);
LaunchShape solve_shape(const Extents& sizes);
LaunchShape walk_shape(const Extents& sizes);

}  // namespace zoo::gpu::delta
