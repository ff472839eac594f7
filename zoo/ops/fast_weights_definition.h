#pragma once

#include <span>

#include "zoo/ops/fast_weights.h"

namespace zoo::ops {

/// The order of the op's inputs: those of FastWeightsInputs, then four of each map.
enum FastWeightsInput : std::size_t {
  q_input,
  k_input,
  v_input,
  eta_input,
  scale_input,
  weight_input,
  bias_input,
  maps_input
};

/// What fast_weights computes, in plain ops, one mini-batch after the other: z [B,T,H,d], and W, b, W_sum, b_sum of
/// each map behind the last token.
Tensors fast_weights_definition(std::span<const Tensor> inputs, const FastWeightsOptions& options);

}  // namespace zoo::ops
