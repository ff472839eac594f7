#pragma once

#include <cstdint>
#include <initializer_list>

#include "zoo/nn/layer.h"
#include "zoo/ops/ops.h"

/// The kernel families: fused ops that many layers share (DESIGN.md, "Five kernel families"). All sequences are
/// [B, T, H, d]: heads side by side within a row, as projections leave them.
namespace zoo::ops {

struct AttentionOptions {
  double scale = 1;                 ///< of q.k; 0 stands for 1/sqrt(d)
  std::int64_t window = 0;          ///< key s is seen from t when 0 <= t-s < window; 0 = all of the past
  std::int64_t first_query = -1;    ///< position of query 0 among the keys; -1: the queries are the last of the keys
  double dropout = 0;               ///< probability of dropping a weight after the softmax
  RandomKey random;                 ///< of the dropout
  std::int64_t first_sequence = 0;  ///< see Context
};

/// softmax over s <= t (within the window) of scale * q_t.k_s + bias_s, times v_s, streaming: the score matrix is never
/// kept. q [B,Tq,H,d], k [B,Tk,Hkv,d], v [B,Tk,Hkv,dv], key_bias [B,Tk,Hkv] or undefined; query head h reads
/// key-value head floor(h*Hkv/H). Result [B,Tq,H,dv].
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& key_bias,
                 const AttentionOptions& options);
/// The same for some rows only: q [R,H,d] holds the queries of `rows` of the last Tq positions (rows counts b*Tq + t).
/// Result [R,H,dv].
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& key_bias, const Rows& rows,
                 std::int64_t query_length, const AttentionOptions& options);

/// The distances sum_i |q_i - k_i| of all queries and keys, head by head: q [B,Tq,H,d], k [B,Tk,H,d], result
/// [B,H,Tq,Tk]. Where a difference is 0, so is its gradient.
Tensor l1_distance(const Tensor& q, const Tensor& k);

/// What linear_recurrence returns.
struct Recurrence {
  Tensor y;      ///< [B,T,H,dv]
  Tensor state;  ///< [B,H,dk,dv] after the last token
};
/// S_t = decay_h S_{t-1} + k_t v_t^T, y_t = S_t^T q_t, in chunks of matmuls. q, k [B,T,H,dk], v [B,T,H,dv], initial
/// [B,H,dk,dv], decay f32/f64 [H], above 0, or undefined for none (a constant of the layer; its gradient flows too).
Recurrence linear_recurrence(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& initial,
                             const Tensor& decay);
/// The same with a decay of each step, given by its logarithm g, at most 0:
///
///     S_t = diag(exp(g_t)) S_{t-1} + k_t v_t^T,  y_t = S_t^T q_t
///
/// g [B,T,H], one for the whole state of a head, or [B,T,H,dk], one for each key channel. With a bonus u [H,dk], for
/// which g must be [B,T,H,dk], the state is read before it is updated (RWKV-6): y_t = (S_{t-1} + diag(u) k_t v_t^T)^T
/// q_t. q, k may be [B,T,G,dk] with G a divisor of H: head h then reads group floor(h*G/H). However strong the decay
/// (-infinity included), nothing overflows and no quotients are formed.
Recurrence gated_linear_recurrence(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& initial,
                                   const Tensor& log_decay, const Tensor& bonus = {});

/// What causal_conv returns.
struct Convolution {
  Tensor y;      ///< [B,T,C]
  Tensor state;  ///< [B,K-1,C]: the last K-1 inputs
};
/// Depthwise: y_t = bias + sum_j weight[:, K-1-j] * x_{t-j}, with x before the chunk from `state` [B,K-1,C]. x [B,T,C],
/// weight [C,K] (weight[:, K-1] meets the current token, as in PyTorch), bias [C] or undefined.
Convolution causal_conv(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& state);
/// What silu_causal_conv returns.
struct SplitConvolution {
  Tensors y;     ///< [B,T,width] for each of the widths
  Tensor state;  ///< [B,K-1,C]: the last K-1 inputs
};
/// silu of the same, its channels split into parts of these widths, which together are C. What silu is taken of is not
/// kept: the backward pass computes it again.
SplitConvolution silu_causal_conv(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& state,
                                  std::initializer_list<std::int64_t> widths);
/// Long: y_t = sum_{j=0..t} filter[j] * x_{t-j}, filter [L,C] with L >= T. x [B,T,C], result [B,T,C].
Tensor long_conv(const Tensor& x, const Tensor& filter);

}  // namespace zoo::ops
