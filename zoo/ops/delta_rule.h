#pragma once

#include "zoo/core/tensor.h"
#include "zoo/ops/families.h"

namespace zoo::ops {

/// The delta rule (Schlag et al. 2021, "Linear transformers are secretly fast weight programmers"), each step of which
/// replaces what the state has stored under a key, rather than add to it:
///
///   e_t = beta_t (v_t - k_t S_{t-1});  S_t = S_{t-1} + k_t^T e_t;  y_t = q_t S_t
///
/// in chunks of matmuls, with a triangular system in each (Yang et al. 2024, "Parallelizing linear transformers with
/// the delta rule over sequence length"). With `log_decay` the state first shrinks: S_{t-1} is exp(log_decay_t) S_{t-1}
/// throughout (Yang et al. 2024, "Gated delta networks").
///
/// q, k [B,T,H,dk], v [B,T,H,dv], beta [B,T,H], initial [B,H,dk,dv], log_decay [B,T,H] or undefined for none. A decay
/// below exp(-1000) is 0. An input that is not finite makes the outputs of its chunk and of all later steps undefined.
Recurrence delta_rule(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& beta, const Tensor& initial,
                      const Tensor& log_decay);

}  // namespace zoo::ops
