#include <algorithm>
#include <utility>

#include "zoo/gpu/linear_recurrence_channel.h"
#include "zoo/gpu/linear_recurrence_traffic.h"

namespace zoo::gpu {

namespace {

using namespace recurrence;

constexpr double within = 1.0 * sub_chunk * sub_chunk;                 // pairs of steps of a sub-chunk
constexpr double pairs_of_subs = sub_chunks * (sub_chunks - 1) / 2.0;  // of a sub-chunk and one before it
constexpr double written_between = pairs_of_subs * within;             // scores of different sub-chunks

// Logarithms are read twice and become decays; sums of them over sub-chunks pass from one loop to the other.
double exponentiate_traffic() {
  constexpr double whole = sub_chunks, through = (sub_chunks + 1) * (sub_chunks + 2) / 2.0;
  // Each but that through no sub-chunk adds the sum of one.
  constexpr double sums_read = through - (sub_chunks + 1);
  return 3 * cells + chunk * (whole + sums_read + through);
}

// A decay with either, which are read and written.
constexpr double decayed_within = 2 * (1 + 2) * cells;

// A key with the queries from its own on, and the decays between them; the scores within sub-chunks; and between
// those, where what a sub-chunk's keys are multiplied by is read with them. The first slice does not add to scores.
double scores_traffic(int width, bool first_slice) {
  constexpr double queries = sub_chunk * (sub_chunk + 1) / 2.0, decays = queries - sub_chunk;
  double floats = sub_chunks * (width * (sub_chunk + queries + decays) + (first_slice ? 1 : 2) * within);
  for (int sub = 0; sub < sub_chunks; ++sub) floats += product_traffic(width, sub * sub_chunk, 1, 2);
  return floats + decayed_within;
}

double load_channels_traffic() {
  return 3 * cells + exponentiate_traffic();
}

// What each chunk adds to the state, a b^T: the logarithms are added up as a is decayed.
double sums_traffic(const Extents& sizes) {
  return for_chunks(sizes, [&](int steps) {
    return for_slices(sizes.dk, [&](int rows) {
      return for_slices(sizes.dv, [&](int columns) {
        return 3 * cells + (1 + 2) * cells + blocks_of(rows, tile_rows) * product_traffic(steps, columns);
      });
    });
  });
}

// Calls body(width, whether it is the first) for the slices of the keys.
template <typename Body>
double for_key_slices(const Extents& sizes, const Body& body) {
  bool first = true;
  return for_slices(sizes.dk, [&](int width) { return body(width, std::exchange(first, false)); });
}

double of_outputs(const Extents& sizes) {
  const double of_chunk = for_slices(sizes.dv, [&](int columns) {
    const double products = for_key_slices(sizes, [&](int width, bool first) {
      return load_channels_traffic() + scores_traffic(width, first) + cells + whole_product(width, columns, 2);
    });
    return products + written_between + cells + product_over_seen_terms(columns);
  });
  return sizes.chunks() * of_chunk;
}

double value_gradients_traffic(const Extents& sizes) {
  const double by_state = for_key_slices(sizes, [&](int width, bool first) {
    return load_channels_traffic() + scores_traffic(width, first) +
           for_slices(sizes.dv, [&](int columns) { return cells + whole_product(width, columns, 2); });
  });
  return by_state + written_between +
         for_slices(sizes.dv, [](int columns) { return cells + product_over_seen_terms(columns); });
}

double score_gradients_traffic(const Extents& sizes) {
  return for_slices(sizes.dv, [](int width) { return 2 * cells + product_with_seen_columns(width); }) + cells;
}

double between_sub_chunks_traffic(const Extents& sizes, int width) {
  const double of_states =
      for_slices(sizes.dv, [&](int columns) { return 4 * cells + 2 * whole_product(columns, width); });
  // A warp's rows, and what they come to in each channel: what leaves each sub-chunk, and what arrives from each
  // before.
  constexpr double flow = (sub_chunk + 1) * chunk;
  double floats =
      of_states + load_channels_traffic() + decayed_within + 2 * cells + (sub_chunks + pairs_of_subs) * flow;
  floats += pairs_of_subs * product_traffic(sub_chunk, width, 1, 2);  // to queries, from each sub-chunk before
  for (int behind = 0; behind < sub_chunks; ++behind)
    floats += product_traffic(behind * sub_chunk, width, 1, 2);  // to keys
  return floats + 2 * cells;
}

// Of one channel, in all sub-chunks of a chunk of `steps`.
double within_sub_chunks_traffic(int steps, bool decay) {
  double floats = sub_chunks;  // the bonus's gradient, 0 at first
  for (int begin = 0; begin < steps; begin += sub_chunk) {
    const int count = std::min(sub_chunk, steps - begin);
    // A decay and what its query is given, a row of weights, and the step's own again.
    floats += count * (2.0 + sub_chunk + 1) + 1;
    // The decays with what the keys await, also of steps that are not there; all that passes.
    floats += 2.0 * sub_chunk + (decay ? sub_chunks : 0);
  }
  return floats;
}

double of_gradients(const Extents& sizes, const RecurrenceWanted& wanted) {
  return for_chunks(sizes, [&](int steps) {
    const double of_channels = for_slices(sizes.dk, [&](int width) {
      const double of_chunk = 2;  // what flows through it, and its decay
      return between_sub_chunks_traffic(sizes, width) +
             width * (of_chunk + within_sub_chunks_traffic(steps, wanted.decay) + (wanted.bonus ? sub_chunks : 0));
    });
    return value_gradients_traffic(sizes) + score_gradients_traffic(sizes) + of_channels;
  });
}

}  // namespace

double recurrence::channel_forward_traffic(const Extents& sizes) {
  return sums_traffic(sizes) + of_outputs(sizes);
}

double recurrence::channel_backward_traffic(const Extents& sizes, const RecurrenceWanted& wanted) {
  return sums_traffic(sizes) + of_gradients(sizes, wanted);
}

}  // namespace zoo::gpu
