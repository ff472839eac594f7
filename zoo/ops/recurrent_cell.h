#pragma once

#include "zoo/cpu/recurrent_cell.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

using cpu::Cell;

/// What recurrent_cell returns.
struct CellRun {
  Tensor h;             ///< [B,T,D], after each step
  Tensor last_hidden;   ///< [B,D]
  Tensor last_carried;  ///< [B,D]: an LSTM's c; else undefined
};
/// A recurrent network whose step multiplies the hidden state by a matrix, in PyTorch's order of gates. With
/// g_t = h_{t-1} weight^T + bias, cut into G gates, and the projected inputs x_t likewise:
///
///   tanh:  h_t = tanh(x_t + g_t)                                                                       (G = 1)
///   lstm:  i, f, o = sigmoid(x + g), c~ = tanh(x + g) in the order i f c~ o;
///          c_t = f c_{t-1} + i c~,  h_t = o tanh(c_t)                                                  (G = 4)
///   gru:   r, z = sigmoid(x + g), n = tanh(x_n + r g_n);  h_t = (1 - z) n + z h_{t-1}                  (G = 3)
///
/// x [B,T,G*D], weight [G*D,D], bias [G*D], hidden [B,D]; carried [B,D] for an LSTM, else undefined.
CellRun recurrent_cell(Cell cell, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& hidden,
                       const Tensor& carried = {});

}  // namespace zoo::ops
