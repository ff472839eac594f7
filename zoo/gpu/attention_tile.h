#pragma once

// What attention's kernels share. A warp owns 16 rows: queries in the forward pass and for dq, keys for dk and dv. The
// block steps along the other side, `span` rows at a time, which its warps share.

#include <cfloat>
#include <cmath>

#include "zoo/cpu/attention.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/launch_shape.h"
#include "zoo/gpu/shared_rows.h"
#include "zoo/gpu/tile.h"

namespace zoo::gpu::attention {

inline constexpr int span = 32;
inline constexpr int span_tiles = span / tile_columns;
inline constexpr int staging_pitch = span + row_padding;
inline constexpr int most_warps = 4;
// Columns of a result that a warp keeps in registers. What is wider is computed in slices, each of which computes the
// scores again.
inline constexpr int slice = 64;
inline constexpr int slice_tiles = slice / tile_columns;

/// cpu::AttentionSizes, checked, in the numbers that kernels compute with.
struct Extents {
  int batch, queries, keys, heads, kv_heads, d, dv;
  int window;  ///< the number of keys where all are seen
  int first_query;
  float scale;
  float kept;                  ///< what dropout multiplies the weights by that it keeps; 1 without
  unsigned dropout_threshold;  ///< the smallest random number that keeps; 0: all do
  RandomKey random;
  std::int64_t first_sequence;

  /// The keys that a query sees: [first_key, its position].
  __host__ __device__ int position(int query) const { return first_query + query; }
  __host__ __device__ int first_key(int query) const {
    const int first = position(query) + 1 - window;
    return first > 0 ? first : 0;
  }
  /// False for rows of a tile that are beyond the last query or key.
  __device__ bool sees(int query, int key) const {
    return query < queries && key <= position(query) && key >= first_key(query);
  }
  /// The first query that no longer sees a key (queries, where there is none).
  __host__ __device__ int end_of_queries(int key) const {
    const std::ptrdiff_t end = std::ptrdiff_t{key} + window - first_query;
    return end < queries ? static_cast<int>(end) : queries;
  }
  /// Whether any of 16 queries sees any of the keys [key, key + count).
  __device__ bool any_sees(int query, int key, int count) const {
    return query < queries && key <= position(min(query + tile_rows, queries) - 1) && key + count > first_key(query);
  }
  /// Where row `query` of a head begins in a tensor [B,Tq,H,width], in elements.
  __device__ std::ptrdiff_t of_query(int sequence, int query, int head, int width) const {
    return ((static_cast<std::ptrdiff_t>(sequence) * queries + query) * heads + head) * width;
  }
  /// The same in a tensor [B,Tk,Hkv,width].
  __device__ std::ptrdiff_t of_key(int sequence, int key, int kv_head, int width) const {
    return ((static_cast<std::ptrdiff_t>(sequence) * keys + key) * kv_heads + kv_head) * width;
  }
  /// A head's rows from `query` on, and from `key` to `end`.
  __device__ Rows query_rows(const float* tensor, int sequence, int query, int head, int width) const {
    return {tensor + of_query(sequence, query, head, width), std::ptrdiff_t{heads} * width, queries - query, width};
  }
  __device__ Rows key_rows(const float* tensor, int sequence, int key, int end, int kv_head, int width) const {
    return {tensor + of_key(sequence, key, kv_head, width), std::ptrdiff_t{kv_heads} * width, end - key, width};
  }
};

/// The queries of a head that the running block owns, 16 a warp. The last queries, which see the most keys, come first.
struct QueryBlock {
  int rows, first, query;  ///< of the block, its first, and the running warp's first
  int head, sequence, kv_head;
  int begin, end;  ///< of the keys that any of them sees

  __device__ explicit QueryBlock(const Extents& sizes) : rows(static_cast<int>(blockDim.x) / 2) {
    const int block = static_cast<int>(blockIdx.x);
    const int tiles = blocks_of(sizes.queries, rows);
    first = (tiles - 1 - block % tiles) * rows;
    query = first + static_cast<int>(threadIdx.x) / 32 * tile_rows;
    head = block / tiles % sizes.heads;
    sequence = block / tiles / sizes.heads;
    kv_head = head / (sizes.heads / sizes.kv_heads);
    begin = sizes.first_key(first);
    end = sizes.position(min(first + rows, sizes.queries) - 1) + 1;
  }
};

/// Throws Error for what the kernels do not compute.
Extents checked(const cpu::AttentionSizes& sizes, const cpu::AttentionInputs<float>& inputs);
Extents checked(const cpu::AttentionSizes& sizes);

/// Floats from one row of shared memory to the next, for rows of `width` numbers that are multiplied in a format.
template <typename Format>
__host__ __device__ constexpr int pitch_of(int width) {
  return round_up(width, Format::depth) + row_padding;
}

/// The launch of a kernel whose blocks own `rows` rows of each of `heads` heads together, in `slices` slices of
/// columns, and share `floats_a_row` for each row that they own and `floats_besides`. A block has as many warps as
/// leave room for two blocks in a multiprocessor, which hide each other's waits; but where one block alone has more
/// warps than these together, that one: with fewer rows to a block, all keys are read more often. Throws Error when one
/// warp does not fit.
LaunchShape choose_shape(const char* kernel, int rows, std::uint64_t heads, int slices, int floats_a_row,
                         int floats_besides);

/// scores += a b^T of a warp: `a` are its 16 rows and `b` the span's, each of `width` numbers in shared memory.
template <typename Format>
__device__ __forceinline__ void multiply_by_transpose(TileC (&scores)[span_tiles], const float* a, const float* b,
                                                      int width, int pitch) {
  for (int k = 0; k < width; k += Format::depth) {
    const TileA<Format> rows = load_a<Format>(a + k, pitch, 1);
    for (int tile = 0; tile < span_tiles; ++tile)
      multiply_add(scores[tile], rows, load_b<Format>(b + tile * tile_columns * pitch + k, 1, pitch));
  }
}

/// sums += weights values of a warp: its 16 rows of weights, [span], lie in its staging memory, and `columns` columns
/// of values [span, ...] in shared memory.
template <typename Format>
__device__ __forceinline__ void multiply_weights(TileC (&sums)[slice_tiles], const float* weights, const float* values,
                                                 int columns, int pitch) {
  for (int k = 0; k < span; k += Format::depth) {
    const TileA<Format> rows = load_a<Format>(weights + k, staging_pitch, 1);
    for (int tile = 0; tile < slice_tiles; ++tile) {
      if (tile * tile_columns >= columns) continue;
      multiply_add(sums[tile], rows, load_b<Format>(values + k * pitch + tile * tile_columns, pitch, 1));
    }
  }
}

/// Writes a warp's tiles to its staging memory, for its lanes to load as weights.
__device__ __forceinline__ void stage(const TileC (&tiles)[span_tiles], float* staging) {
  __syncwarp();  // all lanes have loaded what lay there
  for (int tile = 0; tile < span_tiles; ++tile) store(tiles[tile], staging + tile * tile_columns, staging_pitch, 1);
  __syncwarp();
}

/// Writes factor[row half] * sums to `count` rows of a result, `columns` columns of each.
__device__ __forceinline__ void store_rows(const TileC (&sums)[slice_tiles], const float (&factor)[2], float* to,
                                           std::ptrdiff_t stride, int count, int columns) {
  for (int tile = 0; tile < slice_tiles; ++tile) {
    for (int i = 0; i < 4; ++i) {
      const int row = TileC::row(i);
      const int column = tile * tile_columns + TileC::column(i);
      if (row < count && column < columns) to[row * stride + column] = factor[i / 2] * sums[tile].values[i];
    }
  }
}

}  // namespace zoo::gpu::attention
