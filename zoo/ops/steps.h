#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "zoo/core/tape.h"
#include "zoo/core/tensor.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

/// Step t of x [B,T,...], as [B,...].
inline Tensor step_of(const Tensor& x, std::int64_t t) {
  return reshape(slice(x, 1, t, t + 1), x.shape().remove(1));
}

/// Steps, each [B,...], side by side: [B,T,...].
inline Tensor join_steps(std::span<const Tensor> steps) {
  Tensors rows;
  rows.reserve(steps.size());
  for (const Tensor& step : steps) rows.push_back(reshape(step, step.shape().insert(1, 1)));
  return concat(rows, 1);
}

/// Whether an op on these inputs will be on the tape, so that a backward pass may follow.
inline bool recorded(std::span<const Tensor> inputs) {
  return taping() && std::ranges::any_of(inputs, &Tensor::requires_grad);
}

}  // namespace zoo::ops
