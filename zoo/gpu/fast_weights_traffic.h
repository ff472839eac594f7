#pragma once

// What the fast weights' kernels move through shared memory (shared_traffic.h), step by step as the functions of the
// same names in fast_weights_piece.h and fast_weights_gradients.h: a block, in floats. What lay_out has placed in
// device memory does not count, nor do the addresses of the matrices.

#include <vector>

#include "zoo/gpu/fast_weights_block.h"
#include "zoo/gpu/shared_traffic.h"

namespace zoo::gpu::fast {

/// A block's matrices, each of which lies in shared memory or not.
class BlockTraffic {
 public:
  BlockTraffic(const Extents& sizes, bool backward);

  double begin_block() const { return static_cast<double>(memory_.size()); }
  double load_maps() const;
  double save_maps() const { return load_maps(); }
  double load_piece() const;
  double take_gradients(const Piece& piece, bool keeps) const;
  double read_out(const Piece& piece, bool keeps) const;
  double normalise(const Piece& piece) const;
  /// Of a piece's queries and normalised results, for z.
  double reads_of_z(const Piece& piece) const;
  double advance(const Piece& piece) const;

  double begin_gradients() const;
  double backward(const Piece& piece) const;

 private:
  double backward_norm(const Piece& piece) const;
  double backward_read_out(const Piece& piece, int l) const;
  double backward_rates(const Piece& piece) const;
  double backward_training_view(const Piece& piece) const;
  // 1 for a matrix in shared memory, 0 for one in device memory.
  static int in(const Matrix& matrix) { return matrix.data == nullptr ? 0 : 1; }
  const Matrix& x(int l) const { return l == 0 ? shared_.k : shared_.maps[l].x; }
  const Matrix& y(int l) const { return l == 0 ? shared_.q : shared_.maps[l].y; }
  /// eta_j G_j
  int weighted(int l) const { return 1 + in(shared_.maps[l].gradient); }
  // Of all 16 x 16 parts of a product; `stored` floats for each sum.
  double product(int rows, int columns, int terms, int of_a, int of_b, int stored) const;
  double last_scale_gradient(const Piece& piece, int l) const;

  Extents sizes_;
  int rows_, last_, threads_;
  std::vector<float> memory_;  // the matrices', of which the places alone matter
  Shared shared_ = {};
};

/// A warp's 16 x 16 sums over `terms` terms.
inline double sums_traffic(int terms, int of_a, int of_b) {
  return product_traffic(terms, item, of_a, of_b);
}
inline constexpr double sums_of_part = item * item;

}  // namespace zoo::gpu::fast
