// What the delta rule's kernels move through shared memory (shared_traffic.h).
#include "zoo/gpu/delta_rule.h"
#include "zoo/gpu/delta_rule_chunk.h"
#include "zoo/gpu/linear_recurrence_traffic.h"

namespace zoo::gpu {

namespace {

using namespace recurrence;

// The inverse of a triangular matrix: the parts on the diagonal, a thread a column, then those below.
double invert_traffic() {
  double floats = 1.0 * chunk * (tile_rows + tile_rows * (tile_rows - 1));
  constexpr double stored = tile_rows * tile_rows;
  for (int column = 0; column < chunk; column += tile_rows) {
    for (int row = column + tile_rows; row < chunk; row += tile_rows)
      floats += product_traffic(row - column, tile_rows) + product_traffic(tile_rows, tile_rows) + 2 * stored;
  }
  return floats;
}

double solve_traffic(const Extents& sizes, bool backward) {
  const double pairs_of_steps = for_slices(
      sizes.dk, [&](int width) { return 2 * cells + (backward ? 2 : 1) * product_with_seen_columns(width); });
  const double values = for_slices(sizes.dv, [&](int columns) {
    return cells + product_over_seen_terms(columns) + (backward ? cells + product_over_seen_terms(columns) : 0);
  });
  const double keys =
      for_slices(sizes.dk, [&](int columns) { return cells + product_over_seen_terms(columns, /*of_b=*/2); });
  const double a_chunk = filled + pairs_of_steps + (backward ? 4 : 3) * cells + invert_traffic() + values + keys;
  return sizes.chunks() * a_chunk;
}

// `begins`: whether the first state is given.
double walk_traffic(const Extents& sizes, bool backward, bool begins) {
  return for_slices(sizes.dv, [&](int columns) {
    const double state = 1.0 * sizes.dk * columns;
    const double chunks = for_chunks(sizes, [&](int steps) {
      const double read = for_slices(sizes.dk, [&](int width) { return cells + whole_product(width, columns); });
      const double values = cells + (backward ? 3.0 : 5.0) * steps * columns + (backward ? cells : 0);
      const double add = cells + whole_product(steps, columns, backward ? 2 : 1);
      const double update = for_slices(sizes.dk, [&](int) { return 3 * cells + (backward ? 2 : 1) * add; });
      return state + 2 * chunk + 1 + read + values + update;
    });
    return 1.0 * round_up(sizes.dk, chunk) * pitch + (begins ? state : 0) + chunks + state;
  });
}

double pairs_traffic(const Extents& sizes) {
  const auto products = [](int width) { return 2 * cells + product_with_seen_columns(width); };
  return 2 * (for_slices(sizes.dk, products) + for_slices(sizes.dv, products)) + (3 * cells + pairs) + 6 * cells;
}

double key_gradients_traffic(const Extents& sizes) {
  return for_slices(sizes.dk,
                    [&](int columns) {
                      const double through_state =
                          for_slices(sizes.dv, [&](int terms) { return 2 * cells + whole_product(terms, columns); });
                      const double queries = through_state + 2 * cells + 2 * cells + product_over_seen_terms(columns);
                      const double keys =
                          2 * through_state + 2 * cells + 3 * cells + 3 * cells + 3 * product_over_seen_terms(columns);
                      return queries + keys;
                    }) +
         2 * chunk;
}

double gradients_traffic(const Extents& sizes, bool decay) {
  return for_chunks(sizes, [&](int steps) {
    return filled + pairs_traffic(sizes) + key_gradients_traffic(sizes) + (decay ? decay_gradients_traffic(steps) : 0);
  });
}

double of_all_heads(const Extents& sizes, double floats_of_a_head) {
  return sizeof(float) * static_cast<double>(sizes.all_heads()) * floats_of_a_head;
}

}  // namespace

double delta_rule_forward_traffic(const cpu::DeltaRuleSizes& sizes) {
  const Extents extents = delta::checked(sizes, false);
  return of_all_heads(extents,
                      solve_traffic(extents, false) + walk_traffic(extents, false, true) + outputs_traffic(extents));
}

double delta_rule_backward_traffic(const cpu::DeltaRuleSizes& sizes, bool decay, bool last_state) {
  const Extents extents = delta::checked(sizes, decay);
  return of_all_heads(extents, solve_traffic(extents, true) + walk_traffic(extents, true, last_state) +
                                   gradients_traffic(extents, decay));
}

}  // namespace zoo::gpu
