#pragma once

// The dropout of attention's weights, by the CPU's random numbers (attention_dropout_key of zoo/cpu/attention.h):
// number s of a query's stream decides on key s, so that the tiling does not matter. A lane decides on 16 keys of one
// query, and the warp's lanes tell each other.

#include <type_traits>

#include "zoo/gpu/attention_tile.h"
#include "zoo/gpu/philox.h"

namespace zoo::gpu::attention {

/// Of keys [first, first + 16) of a query, whose bits are set where they are kept.
__device__ __forceinline__ unsigned kept_keys(const Extents& sizes, int sequence, int head, int query, int first) {
  const RandomKey of_head = fold(fold(sizes.random, static_cast<std::uint64_t>(sizes.first_sequence + sequence)),
                                 static_cast<std::uint64_t>(head));
  const RandomKey of_query = fold(of_head, static_cast<std::uint64_t>(sizes.position(query)));
  unsigned bits = 0;
  for (int block = 0; block < 3; ++block) {
    if (block == 2 && first % 8 == 0) continue;
    const DropoutNumbers numbers(of_query, static_cast<std::uint64_t>(first / 8 + block));
    for (int i = 0; i < 8; ++i) {
      if (numbers[i] >= sizes.dropout_threshold) bits |= 1U << (8 * block + i);
    }
  }
  return bits >> (first % 8) & 0xffffU;
}

/// Which weights of a warp's tile are kept.
struct KeptWeights {
  unsigned bits[2][2];  ///< of both of this lane's rows: of the first 16 columns, and of the others

  /// Rows are 16 queries from `query` on, columns 32 keys from `key` on. The whole warp.
  __device__ void decide(const Extents& sizes, int sequence, int head, int query, int key) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const unsigned own = kept_keys(sizes, sequence, head, query + lane % 16, key + lane / 16 * 16);
    for (int row = 0; row < 2; ++row) {
      for (int part = 0; part < 2; ++part)
        bits[row][part] = __shfl_sync(0xffffffff, own, TileC::row(2 * row) + 16 * part);
    }
  }
  __device__ bool operator()(int tile, int i) const {
    return (bits[i / 2][tile / 2] >> (tile % 2 * tile_columns + TileC::column(i)) & 1U) != 0;
  }
};

/// The same where rows are 16 keys and columns 32 queries.
struct KeptWeightsOfKeys {
  unsigned bits[span_tiles][2];  ///< of this lane's two columns in each tile, by row

  __device__ void decide(const Extents& sizes, int sequence, int head, int query, int key) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const unsigned own = kept_keys(sizes, sequence, head, query + lane, key);
    for (int tile = 0; tile < span_tiles; ++tile) {
      for (int i = 0; i < 2; ++i) bits[tile][i] = __shfl_sync(0xffffffff, own, tile * tile_columns + TileC::column(i));
    }
  }
  __device__ bool operator()(int tile, int i) const { return (bits[tile][i % 2] >> TileC::row(i) & 1U) != 0; }
};

/// Calls body(std::true_type()) where there is dropout, else body(std::false_type()): kernels without it have registers
/// for more blocks.
template <typename Body>
void with_dropout(const Extents& sizes, const Body& body) {
  if (sizes.dropout_threshold > 0) return body(std::true_type());
  body(std::false_type());
}

}  // namespace zoo::gpu::attention
