#pragma once

#include "zoo/core/pool.h"
#include "zoo/core/tensor.h"

namespace zoo::ops {

/// A language-model head's answers on some rows, off the tape.
struct HeadScores {
  PoolVector<double> losses;             ///< [R] cross-entropy, nats
  PoolVector<std::int32_t> predictions;  ///< [R] the token with the largest logit
};

/// hidden [R,D], weight [V,D], bias [V] or undefined, labels i32 [R]. Logits are formed a block of rows at a time.
HeadScores score_head(const Tensor& hidden, const Tensor& weight, const Tensor& bias, const Tensor& labels);

/// The sum of f64 losses as a scalar of `dtype`, off the tape.
Tensor total(const Tensor& losses, DType dtype);

/// Throws Error unless labels are i32 [rows], each in [0, vocab).
void check_labels(const Tensor& labels, std::int64_t rows, std::int64_t vocab);

}  // namespace zoo::ops
