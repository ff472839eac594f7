#include <algorithm>

#include "zoo/gpu/linear_recurrence.h"
#include "zoo/gpu/linear_recurrence_traffic.h"

namespace zoo::gpu {

namespace {

using namespace recurrence;

// What each chunk adds to the state: of one head.
double sums_traffic(const Extents& sizes) {
  return for_chunks(sizes, [&](int steps) {
    return for_slices(sizes.dk, [&](int rows) {
      return for_slices(sizes.dv, [&](int columns) {
        return chunk + 2 * cells + blocks_of(rows, tile_rows) * product_traffic(steps, columns, 2);
      });
    });
  });
}

double scores_traffic(const Extents& sizes) {
  const auto products = [](int width) { return 2 * cells + product_with_seen_columns(width); };
  // What they are multiplied by, and the three results.
  return for_slices(sizes.dk, products) + for_slices(sizes.dv, products) + 4 * cells + pairs;
}

// `factors`: those by which what comes of the state is multiplied.
double key_gradients_traffic(const Extents& sizes, int factors) {
  return for_slices(sizes.dk,
                    [&](int columns) {
                      const double of_state =
                          for_slices(sizes.dv, [&](int terms) { return 2 * cells + whole_product(terms, columns); });
                      return of_state + 2 * cells + (factors + 1) * cells + product_over_seen_terms(columns);
                    }) +
         chunk;
}

double value_gradients_traffic(const Extents& sizes, int steps) {
  return for_slices(sizes.dv, [&](int columns) {
    const double of_state = for_slices(sizes.dk, [&](int terms) { return 2 * cells + whole_product(terms, columns); });
    return of_state + cells + 2 * cells + product_over_seen_terms(columns) + 2 * cells + 1.0 * steps * columns;
  });
}

double gradients_traffic(const Extents& sizes, const RecurrenceWanted& wanted) {
  return for_chunks(sizes, [&](int steps) {
    return filled + scores_traffic(sizes) + key_gradients_traffic(sizes, 1) + key_gradients_traffic(sizes, 2) +
           value_gradients_traffic(sizes, steps) + (wanted.decay ? decay_gradients_traffic(steps) : 0) +
           (wanted.step ? block_sum_traffic() : 0);
  });
}

double of_all_heads(const Extents& sizes, double floats_of_a_head) {
  return sizeof(float) * static_cast<double>(sizes.all_heads()) * floats_of_a_head;
}

}  // namespace

double recurrence::outputs_traffic(const Extents& sizes) {
  return for_chunks(sizes, [&](int steps) {
    return for_slices(sizes.dv, [&](int columns) {
      const double products = for_slices(sizes.dk, [&](int width) {
        return 2 * cells + product_with_seen_columns(width) + cells + whole_product(width, columns);
      });
      // The factors from the start; the values' copy; the scores' factors, and what they make.
      return filled + products + cells + cells + (2 * cells + pairs) + product_over_seen_terms(columns) +
             1.0 * steps * columns;
    });
  });
}

double linear_recurrence_forward_traffic(const cpu::RecurrenceSizes& sizes, cpu::RecurrenceDecay decay) {
  const Extents extents = checked(sizes, decay);
  if (decay == cpu::RecurrenceDecay::channel_and_step) return of_all_heads(extents, channel_forward_traffic(extents));
  return of_all_heads(extents, sums_traffic(extents) + outputs_traffic(extents));
}

double linear_recurrence_backward_traffic(const cpu::RecurrenceSizes& sizes, cpu::RecurrenceDecay decay,
                                          const RecurrenceWanted& wanted) {
  const Extents extents = checked(sizes, decay);
  if (decay == cpu::RecurrenceDecay::channel_and_step)
    return of_all_heads(extents, channel_backward_traffic(extents, wanted));
  return of_all_heads(extents, sums_traffic(extents) + gradients_traffic(extents, wanted));
}

}  // namespace zoo::gpu
