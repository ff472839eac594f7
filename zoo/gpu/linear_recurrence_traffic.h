#pragma once

// What the recurrence's kernels move through shared memory (shared_traffic.h), in floats, and the parts that the delta
// rule's share. All warps of a block together, in one chunk.

#include "zoo/gpu/linear_recurrence.h"
#include "zoo/gpu/linear_recurrence_chunk.h"
#include "zoo/gpu/shared_traffic.h"

namespace zoo::gpu::recurrence {

inline constexpr int warps = threads / 32;
inline constexpr double cells = 1.0 * chunk * chunk;        // of a matrix, once
inline constexpr double pairs = chunk * (chunk + 1) / 2.0;  // of a step and one before it, or itself
/// A chunk's factors.
inline constexpr double filled = cells + 3 * chunk;

/// Every warp multiplies over the same terms.
inline double whole_product(int terms, int columns, int of_a = 1, int of_b = 1) {
  return warps * product_traffic(terms, columns, of_a, of_b);
}
/// Each warp's rows with those that they see: columns before them, or terms before (or behind) them.
inline double product_with_seen_columns(int terms) {
  double floats = 0;
  for (int seen = tile_rows; seen <= chunk; seen += tile_rows) floats += product_traffic(terms, seen);
  return floats;
}
inline double product_over_seen_terms(int columns, int of_b = 1) {
  double floats = 0;
  for (int seen = tile_rows; seen <= chunk; seen += tile_rows) floats += product_traffic(seen, columns, 1, of_b);
  return floats;
}
/// Calls body(width) for the slices of 64 columns of a width, and sums what it returns.
template <typename Body>
double for_slices(int width, const Body& body) {
  double floats = 0;
  for (int at = 0; at < width; at += chunk) floats += body(width - at < chunk ? width - at : chunk);
  return floats;
}
/// Calls body(steps) for the chunks of a head, and sums.
template <typename Body>
double for_chunks(const Extents& sizes, const Body& body) {
  return for_slices(sizes.length, body);
}
inline double block_sum_traffic() {
  return warps + 1.0 * threads * warps;
}
inline double decay_gradients_traffic(int steps) {
  const double earlier = 0.5 * chunk * (chunk - 1);  // pairs of different steps
  double own = 0;
  for (int step = 0; step < steps; ++step) own += 2 * step + chunk - step;
  return block_sum_traffic() + threads + 3 * earlier + own;
}

/// The kernel that reads y from the states (linear_recurrence_forward.cu), of one head.
double outputs_traffic(const Extents& sizes);
/// Of one head with a decay of each channel (linear_recurrence_channel_traffic.cu).
double channel_forward_traffic(const Extents& sizes);
double channel_backward_traffic(const Extents& sizes, const RecurrenceWanted& wanted);

}  // namespace zoo::gpu::recurrence
