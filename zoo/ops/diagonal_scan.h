#pragma once

#include "zoo/ops/ops.h"

/// The kernel family of states that advance channel by channel, h_t = a_t * h_{t-1} + b_t: no channel of a state meets
/// another within a step. All sequences are [B, T, C]; every op takes the state before its first step and returns the
/// one after its last, so that a sequence may be cut anywhere.
namespace zoo::ops {

/// What diagonal_scan returns.
struct DiagonalScan {
  Tensor h;      ///< [B,T,C], the state after each step
  Tensor state;  ///< [B,C], the last of them
};
/// h_t = a_t * h_{t-1} + b_t. a, b [B,T,C], initial [B,C].
DiagonalScan diagonal_scan(const Tensor& a, const Tensor& b, const Tensor& initial);

/// What selective_scan returns.
struct SelectiveScan {
  Tensor y;      ///< [B,T,E]
  Tensor state;  ///< [B,E,N] after the last step
};
/// The scan of a selective state space model (Gu and Dao 2023, "Mamba", algorithm 2, with Euler's B):
///
///   h_t = exp(delta_t A) * h_{t-1} + (delta_t x_t) B_t,    y_t = h_t C_t + D * x_t
///
/// with a state of N numbers for each of E channels, never kept for more than a few steps. x, delta [B,T,E], A [E,N],
/// B, C [B,T,N], D [E], initial [B,E,N].
SelectiveScan selective_scan(const Tensor& x, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
                             const Tensor& D, const Tensor& initial);

/// The state of wkv: the sums p = sum_s e^{(t-s) w + k_s} v_s and q, the same without v, both divided by e^o. Each
/// [B,C]. Before the first step p = q = 0 and o = -1e38.
struct WkvState {
  Tensor p;
  Tensor q;
  Tensor o;
};
/// What wkv returns.
struct Wkv {
  Tensor y;  ///< [B,T,C]
  WkvState state;
};
/// The weighted mean of all values so far with weights e^{(t-1-s) w + k_s}, and e^{u + k_t} for the current one (Peng
/// et al. 2023, "RWKV", appendix on numerical stability): no exponential of a number above 0 is formed.
///
///   m = max(o, u + k_t),  y_t = (e^{o-m} p + e^{u+k_t-m} v_t) / (e^{o-m} q + e^{u+k_t-m})
///   o' = max(w + o, k_t), p' = e^{w+o-o'} p + e^{k_t-o'} v_t, q' = e^{w+o-o'} q + e^{k_t-o'}
///
/// k, v [B,T,C], w (of the exponent: below 0) and u [C].
Wkv wkv(const Tensor& k, const Tensor& v, const Tensor& w, const Tensor& u, const WkvState& state);

}  // namespace zoo::ops
