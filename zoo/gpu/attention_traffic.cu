// What attention's kernels move through shared memory (shared_traffic.h).
#include <algorithm>

#include "zoo/gpu/attention.h"
#include "zoo/gpu/attention_tile.h"
#include "zoo/gpu/shared_traffic.h"

namespace zoo::gpu {

namespace {

using namespace attention;

constexpr int staged = tile_rows * span;  // numbers of a warp's weights

// Numbers of a row that is copied to shared memory.
int row_of(int width) {
  return pitch_of<Float32>(width) - row_padding;
}
// A warp's weights with the values of a span, in one slice of columns.
double weights_product(int columns) {
  return product_traffic(span, std::clamp(columns, 0, slice));
}
// Whether a weight is reached by the queries of a warp: in how many spans from `begin` on.
int spans_seen(const Extents& sizes, int query, int begin) {
  if (query >= sizes.queries) return 0;
  const int last = sizes.position(std::min(query + tile_rows, sizes.queries) - 1);
  return (last - begin) / span - (sizes.first_key(query) - begin) / span + 1;
}

// Of the blocks of a head that own queries: what one of `rows` moves once, for each span, and for each span that a warp
// sees.
double of_query_blocks(const Extents& sizes, int rows, double once, double a_span, double a_warp) {
  double floats = 0;
  for (int first = 0; first < sizes.queries; first += rows) {
    const int begin = sizes.first_key(first);
    const int end = sizes.position(std::min(first + rows, sizes.queries) - 1) + 1;
    floats += once + a_span * blocks_of(end - begin, span);
    for (int query = first; query < first + rows; query += tile_rows)
      floats += a_warp * spans_seen(sizes, query, begin);
  }
  return floats;
}

// A launch's rows of a block, and how often its head is computed.
int rows_of(const LaunchShape& shape) {
  return static_cast<int>(shape.threads) / 2;
}

double of_query_gradients(const Extents& sizes, const LaunchShape& shape) {
  const int rows = rows_of(shape), row = row_of(sizes.d) + row_of(sizes.dv);
  double floats = 0;
  for (int column = 0; column < sizes.d; column += slice) {
    const double a_warp =
        product_traffic(sizes.d, span) + product_traffic(sizes.dv, span) + staged + weights_product(sizes.d - column);
    floats += of_query_blocks(sizes, rows, 1.0 * rows * row, 1.0 * span * row, a_warp);
  }
  return floats * sizes.batch * sizes.heads;
}

double of_key_gradients(const Extents& sizes, const LaunchShape& shape) {
  const int rows = rows_of(shape), row = row_of(sizes.d) + row_of(sizes.dv);
  double floats = 0;
  for (int column = 0; column < std::max(sizes.d, sizes.dv); column += slice) {
    const double a_warp = product_traffic(sizes.d, span) + product_traffic(sizes.dv, span) + 2 * staged +
                          weights_product(sizes.dv - column) + weights_product(sizes.d - column);
    for (int key = 0; key < sizes.keys; key += rows) {
      const int begin = std::max(0, key - sizes.first_query);
      const int end = sizes.end_of_queries(std::min(key + rows, sizes.keys) - 1);
      const int spans = blocks_of(std::max(0, end - begin), span) * (sizes.heads / sizes.kv_heads);
      floats += 1.0 * rows * row + spans * (1.0 * span * row + rows / tile_rows * a_warp);
    }
  }
  return floats * sizes.batch * sizes.kv_heads;
}

}  // namespace

double attention_forward_traffic(const cpu::AttentionSizes& sizes) {
  const Extents extents = checked(sizes);
  const int rows = rows_of(attention_forward_kernels(sizes, Precision::float32).front());
  const int row = row_of(extents.d), value_row = row_of(std::min(extents.dv, slice));
  double floats = 0;
  for (int column = 0; column < extents.dv; column += slice) {
    const double a_warp = product_traffic(extents.d, span) + staged + weights_product(extents.dv - column);
    floats += of_query_blocks(extents, rows, 1.0 * rows * row, 1.0 * span * (row + value_row), a_warp);
  }
  return sizeof(float) * floats * extents.batch * extents.heads;
}

double attention_backward_traffic(const cpu::AttentionSizes& sizes) {
  const Extents extents = checked(sizes);
  const std::vector<LaunchShape> kernels = attention_backward_kernels(sizes, Precision::float32);
  return sizeof(float) * (of_query_gradients(extents, kernels[1]) + of_key_gradients(extents, kernels[2]));
}

}  // namespace zoo::gpu
