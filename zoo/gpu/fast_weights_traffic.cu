#include <algorithm>

#include "zoo/gpu/fast_weights.h"
#include "zoo/gpu/fast_weights_traffic.h"

namespace zoo::gpu {

namespace fast {

namespace {

// Calls body(row) for the rows of the 16 x 16 parts of a matrix, once for each part.
template <typename Body>
double for_parts(int rows, int columns, const Body& body) {
  double floats = 0;
  for (int row = 0; row < rows; row += item) floats += columns / item * body(row);
  return floats;
}

}  // namespace

BlockTraffic::BlockTraffic(const Extents& sizes, bool backward)
    : sizes_(sizes),
      rows_(sizes.rows()),
      last_(sizes.maps - 1),
      threads_(static_cast<int>(shape_of(sizes, backward).threads)),
      memory_(shared_floats(sizes, backward)) {
  Places places(memory_.data(), nullptr, memory_.size());
  lay_out(sizes, backward, places, shared_);
}

double BlockTraffic::product(int rows, int columns, int terms, int of_a, int of_b, int stored) const {
  return for_parts(rows, columns, [&](int) { return sums_traffic(terms, of_a, of_b) + sums_of_part * stored; });
}

double BlockTraffic::load_maps() const {
  double floats = 0;
  for (int l = 0; l <= last_; ++l) {
    const MapRecord& map = shared_.maps[l];
    floats += 1.0 * map.true_in * map.true_out * in(map.W) + map.true_out * in(map.b);
  }
  return floats;
}

double BlockTraffic::load_piece() const {
  return 3.0 * rows_ * sizes_.padded(0) + 2 * max_piece;
}

double BlockTraffic::normalise(const Piece& piece) const {
  return 7.0 * piece.n * sizes_.d * in(shared_.y_normal);
}

double BlockTraffic::take_gradients(const Piece& piece, bool keeps) const {
  double floats = 0;
  for (int l = 0; l <= last_; ++l) {
    const MapRecord& map = shared_.maps[l];
    const int stored =
        l == last_ ? in(shared_.x_normal) : in(x(l + 1)) + in(map.slope) + (keeps ? in(map.curvature) : 0);
    floats += product(rows_, map.out, map.in, in(x(l)), in(map.W), in(map.b) + stored);
  }
  // The norm, and the gradient of the loss by what it read.
  const int a_column = (7 + 3) * in(shared_.x_normal) + 2 + 3 * in(shared_.maps[last_].gradient);
  floats += piece.n * (1.0 * sizes_.d * a_column + 1);
  for (int l = last_; l > 0; --l) {
    const MapRecord &map = shared_.maps[l], &below = shared_.maps[l - 1];
    const int stored = (keeps ? 2 * in(below.curvature) : 0) + in(below.gradient) + in(below.slope);
    floats += product(rows_, map.in, map.out, in(map.gradient), in(map.W), stored);
  }
  return floats;
}

double BlockTraffic::read_out(const Piece& piece, bool keeps) const {
  double floats = 0;
  for (int l = 0; l <= last_; ++l) {
    const MapRecord& map = shared_.maps[l];
    const int result = l == last_ ? in(shared_.y_normal) : in(y(l + 1)) + (keeps ? in(map.y_slope) : 0);
    floats += product(rows_, rows_, map.in, in(y(l)), in(x(l)), in(map.scores));
    floats += for_parts(rows_, map.out, [&](int row) {
      return sums_traffic(row + item, in(map.scores), weighted(l)) +
             (piece.begun() ? sums_traffic(map.in, in(y(l)), 0) : 0) +
             sums_of_part * (1 + (keeps ? in(map.learned) : 0)) + sums_traffic(map.in, in(y(l)), in(map.W)) +
             sums_of_part * (in(map.b) + result);
    });
  }
  return floats;
}

double BlockTraffic::reads_of_z(const Piece& piece) const {
  return 1.0 * piece.n * sizes_.d * (1 + in(shared_.y_normal));
}

double BlockTraffic::advance(const Piece& piece) const {
  double floats = threads_;  // the scale at the piece's end
  for (int l = 0; l <= last_; ++l) {
    const MapRecord& map = shared_.maps[l];
    floats += product(map.in, map.out, rows_, in(x(l)), weighted(l), 0);
    floats += 1.0 * map.true_out * piece.n * weighted(l);
    if (piece.ends) floats += 2.0 * map.true_out * (map.true_in * in(map.W) + in(map.b));
  }
  return floats;
}

}  // namespace fast

double fast_weights_forward_traffic(const cpu::FastWeightsSizes& sizes, bool checkpoints) {
  const fast::Extents extents = fast::checked(sizes);
  const fast::BlockTraffic block(extents, /*backward=*/false);
  double floats = block.begin_block() + block.load_maps();
  for (int number = 0; number < extents.pieces; ++number) {
    const fast::Piece piece = extents.piece(number);
    floats += block.load_piece();
    if (checkpoints && number > 0 && number % extents.spacing == 0) floats += block.save_maps();
    floats += block.take_gradients(piece, false) + block.read_out(piece, false) + block.normalise(piece);
    floats += block.reads_of_z(piece) + block.advance(piece);
  }
  floats += block.save_maps();
  return sizeof(float) * floats * static_cast<double>(sizes.batch * sizes.heads);
}

double fast_weights_backward_traffic(const cpu::FastWeightsSizes& sizes) {
  const fast::Extents extents = fast::checked(sizes);
  const fast::BlockTraffic block(extents, /*backward=*/true);
  double floats = block.begin_block() + block.begin_gradients();
  for (int number = extents.checkpoints; number >= 0; --number) {
    const int first = number * extents.spacing, last = std::min(first + extents.spacing, extents.pieces);
    floats += block.load_maps();
    for (int i = first; i < last; ++i) {
      floats += block.load_piece() + block.save_maps();
      if (i + 1 == last) break;
      floats += block.take_gradients(extents.piece(i), false) + block.advance(extents.piece(i));
    }
    for (int i = first; i < last; ++i)
      floats += block.load_maps() + block.load_piece() + block.backward(extents.piece(i));
  }
  floats += block.begin_gradients();  // as much to hand them out as to begin them
  return sizeof(float) * floats * static_cast<double>(sizes.batch * sizes.heads);
}

}  // namespace zoo::gpu
