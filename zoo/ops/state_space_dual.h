#pragma once

#include "zoo/ops/families.h"

namespace zoo::ops {

/// The state-space dual of a selective state space model (Dao and Gu 2024, section 6), a linear recurrence whose steps
/// scale decay and input alike:
///
///     S_t = exp(A_h dt_t) S_{t-1} + dt_t B_t x_t^T,    y_t = C_t S_t + D_h x_t
///
/// C, B [B,T,G,N] with G a divisor of H: head h reads group floor(h*G/H); x [B,T,H,P], dt [B,T,H], A, at most 0, and
/// D [H], initial [B,H,N,P]. Result: y [B,T,H,P] and the state. Fused.
Recurrence state_space_dual(const Tensor& C, const Tensor& B, const Tensor& x, const Tensor& initial, const Tensor& dt,
                            const Tensor& A, const Tensor& D);

}  // namespace zoo::ops
