#include "zoo/gpu/fast_weights_traffic.h"

namespace zoo::gpu::fast {

namespace {

constexpr int lanes = 32;

}  // namespace

double BlockTraffic::begin_gradients() const {
  double floats = 0;
  for (int l = 0; l <= last_; ++l) {
    const MapRecord& map = shared_.maps[l];
    floats += 1.0 * map.true_in * map.true_out * in(map.dW) + map.true_out * in(map.db);
  }
  return floats;
}

double BlockTraffic::backward_norm(const Piece& piece) const {
  const MapRecord& map = shared_.maps[last_];
  const double a_row = lanes + 1.0 * sizes_.d * (5 * in(map.dresult) + 2 * in(shared_.y_normal));
  return piece.n * a_row + 1.0 * (rows_ - piece.n) * map.out * in(map.dresult) +
         1.0 * sizes_.d * piece.n * in(shared_.y_normal);
}

double BlockTraffic::last_scale_gradient(const Piece& piece, int l) const {
  const MapRecord& map = shared_.maps[l];
  double floats = piece.n * (1.0 * map.out * (in(map.gradient) + in(shared_.back)) + 2);
  if (piece.begun()) floats += 1.0 * map.true_out * (map.true_in * in(map.dW) + in(map.db));
  const int warps = threads_ / lanes;
  return floats + warps + 1.0 * threads_ * warps + piece.n;
}

double BlockTraffic::backward_read_out(const Piece& piece, int l) const {
  const MapRecord& map = shared_.maps[l];
  const bool begun = piece.begun(), ends = piece.ends;
  const int learned_gradient = 1 + in(map.dresult), dbehind = ends ? in(map.dW) : 0;
  double floats = ends ? threads_ : 0;
  floats += 1.0 * piece.n * map.out * (in(map.dresult) + in(map.learned));
  floats += product(rows_, rows_, map.out, learned_gradient, weighted(l), in(shared_.dscores));
  for (int row = 0; row < rows_; row += item) {
    const int behind = rows_ - row;  // terms of the rows from this one on
    floats += map.out / item *
              (sums_traffic(map.in, in(x(l)), dbehind) + sums_of_part * in(shared_.back) +
               sums_traffic(behind, in(map.scores), learned_gradient) + sums_of_part * in(map.dweighted));
    const double dx = sums_traffic(map.out, weighted(l), dbehind) +
                      sums_traffic(behind, in(shared_.dscores), in(y(l))) + sums_of_part * in(map.dx);
    const double dy = sums_traffic(row + item, in(shared_.dscores), in(x(l))) +
                      sums_traffic(map.out, in(map.dresult), in(map.W)) +
                      (begun ? sums_traffic(map.out, learned_gradient, 0) : 0) +
                      (l > 0 ? sums_of_part * (in(shared_.maps[l - 1].dresult) + in(shared_.maps[l - 1].y_slope)) : 0);
    floats += map.in / item * (dx + dy);
  }
  if (ends) floats += 1.0 * rows_ * map.true_out * in(map.db) + last_scale_gradient(piece, l);
  floats += product(map.in, map.out, rows_, in(y(l)), in(map.dresult), 0);
  if (begun) floats += product(map.in, map.out, rows_, in(y(l)), learned_gradient, 0);
  const int again = begun && ends ? 1 : 0;
  floats += 1.0 * map.true_in * map.true_out * (2 + again) * in(map.dW);
  return floats + map.true_out * (1.0 * piece.n * (in(map.dresult) + learned_gradient) + (2 + again) * in(map.db));
}

double BlockTraffic::backward_rates(const Piece& piece) const {
  double floats = 0;
  for (int l = 0; l <= last_; ++l) {
    const MapRecord& map = shared_.maps[l];
    const int weighted_read = in(map.dweighted) + 1;
    floats += 1.0 * piece.n * map.out * (in(map.dweighted) + in(map.gradient) + weighted_read);
    const int stored = l == last_ ? 0 : in(shared_.back) + in(map.slope) + in(map.dweighted) + in(map.curvature);
    floats += 1.0 * rows_ * map.out * (in(map.dweighted) + stored);
  }
  for (int l = 1; l <= last_; ++l) {
    const MapRecord& map = shared_.maps[l];
    floats += product(rows_, map.out, map.in, in(shared_.back), in(map.W), 2 * in(map.dweighted));
    floats += product(map.in, map.out, rows_, in(shared_.back), in(map.gradient), 2 * in(map.dW));
  }
  return floats;
}

double BlockTraffic::backward_training_view(const Piece& piece) const {
  const MapRecord& top = shared_.maps[last_];
  const Matrix &de = shared_.y_normal, &by_weight = shared_.back;
  const int a_column =
      8 * in(shared_.x_normal) + 4 + in(top.gradient) + 7 * in(top.dweighted) + 3 * in(de) + in(by_weight) + in(de);
  double floats = piece.n * (lanes + 1.0 * sizes_.d * a_column);
  floats += 1.0 * sizes_.d * piece.n * (in(by_weight) + in(de));
  for (int l = last_; l >= 0; --l) {
    const MapRecord& map = shared_.maps[l];
    floats += product(map.in, map.out, rows_, in(x(l)), in(map.dweighted), 2 * in(map.dW));
    floats += map.true_out * (1.0 * piece.n * in(map.dweighted) + 2 * in(map.db));
    const int stored = l > 0 ? 2 * in(shared_.maps[l - 1].dweighted) + in(shared_.maps[l - 1].slope) : 0;
    floats += product(rows_, map.in, map.out, in(map.dweighted), in(map.W), in(map.dx) + stored);
    if (l == 0) floats += 1.0 * piece.n * map.true_in * in(de);
  }
  return floats;
}

double BlockTraffic::backward(const Piece& piece) const {
  double floats = take_gradients(piece, true) + read_out(piece, true) + normalise(piece) + piece.n;
  floats += backward_norm(piece);
  for (int l = last_; l >= 0; --l) floats += backward_read_out(piece, l);
  return floats + backward_rates(piece) + backward_training_view(piece);
}

}  // namespace zoo::gpu::fast
