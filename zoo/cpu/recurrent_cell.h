#pragma once

#include <cstdint>

namespace zoo::cpu {

/// The recurrent networks whose step has a matrix (zoo/ops/recurrent_cell.h).
enum class Cell : std::uint8_t { tanh, lstm, gru };

/// Extents: x [B,T,G*D], weight [G*D,D], states [B,D].
struct CellSizes {
  Cell cell = Cell::tanh;
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t width = 0;  ///< D

  std::int64_t gates() const { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }
  /// Vectors of width D that the backward pass needs of each step beside h: an LSTM's i f c~ o c, a GRU's r z n g_n.
  std::int64_t kept() const { return cell == Cell::lstm ? 5 : cell == Cell::gru ? 4 : 0; }
};

template <typename T>
struct CellInputs {
  const T* x;
  const T* weight;
  const T* bias;
  const T* hidden;
  const T* carried;  ///< nullptr but for an LSTM
};

template <typename T>
struct CellOutputs {
  T* h;        ///< [B,T,D]
  T* carried;  ///< [B,D] after the last step; nullptr but for an LSTM
  T* kept;     ///< [B,T,kept()*D]; nullptr where no backward pass follows
};

void recurrent_cell_forward(const CellSizes& sizes, const CellInputs<float>& inputs, const CellOutputs<float>& outputs);
void recurrent_cell_forward(const CellSizes& sizes, const CellInputs<double>& inputs,
                            const CellOutputs<double>& outputs);

/// What the backward pass reads beside the inputs.
template <typename T>
struct CellResults {
  const T* h;
  const T* kept;
  const T* dh;        ///< [B,T,D]
  const T* dcarried;  ///< [B,D] or nullptr for zero
};

template <typename T>
struct CellGradients {
  T* x;        ///< [B,T,G*D]
  T* gates;    ///< [B,T,G*D], of g_t: of weight's and bias's gradients, and, but for a GRU, x itself
  T* hidden;   ///< [B,D]
  T* carried;  ///< [B,D]; nullptr but for an LSTM
};

/// Back through time. The gradients of weight and bias are sums over all steps of what `gates` gets, which are large
/// products for the caller.
void recurrent_cell_backward(const CellSizes& sizes, const CellInputs<float>& inputs, const CellResults<float>& results,
                             const CellGradients<float>& into);
void recurrent_cell_backward(const CellSizes& sizes, const CellInputs<double>& inputs,
                             const CellResults<double>& results, const CellGradients<double>& into);

}  // namespace zoo::cpu
