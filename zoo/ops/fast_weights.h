#pragma once

#include <cstdint>
#include <span>

#include "zoo/ops/ops.h"

/// The `fast_weights` kernel family: an inner model whose weights learn from the sequence as it is read, by mini-batch
/// gradient descent (Sun et al. 2024, "Learning to (learn at test time)").
namespace zoo::ops {

/// One affine map x W + b of an inner model, a pair for each sequence and head.
struct FastMap {
  Tensor W;      ///< [B,H,in,out], as the mini-batch under way found it
  Tensor b;      ///< [B,H,1,out]
  Tensor W_sum;  ///< like W: sum of eta_j x_j^T G_j over the tokens j of the mini-batch so far; 0 at its start
  Tensor b_sum;  ///< like b: sum of eta_j G_j
};

/// What the inner model learns from and is asked.
struct FastWeightsInputs {
  Tensor q, k, v;      ///< [B,T,H,d]: test view, training view, label view
  Tensor eta;          ///< [B,T,H]: each token's learning rate
  Tensor token_scale;  ///< [K]: what scales the sum of a mini-batch's gradients when its token i is read
  Tensor norm_weight;  ///< [H,d]
  Tensor norm_bias;    ///< [H,d]
};

struct FastWeightsOptions {
  std::int64_t mini_batch = 16;  ///< K
  std::int64_t first = 0;        ///< index in its mini-batch of the first token
  double epsilon = 1e-6;         ///< of the norm
};

/// What fast_weights returns.
struct FastWeights {
  Tensor z;                  ///< [B,T,H,d]
  PoolVector<FastMap> maps;  ///< after the last token
};

/// f(x; W) = x + LN(g(x; W)), with g one affine map (TTT-Linear), or two with a tanh-GELU between (TTT-MLP). For token
/// i of a mini-batch of K, and the weights W_0 at its start, G_j = gradient of 1/2 |f(k_j; W_0) - v_j|^2:
///
///     W_i = W_0 - token_scale_i sum_{j<=i} eta_j G_j,     z_i = f(q_i; W_i)
///
/// and the next mini-batch starts from W_{K-1}. In the dual form: no W_i but the last is made. With first = 0 the sums
/// given are taken for 0. Learning rates that diverge give infinities and NaN in what comes after.
FastWeights fast_weights(const FastWeightsInputs& inputs, std::span<const FastMap> maps,
                         const FastWeightsOptions& options);

}  // namespace zoo::ops
