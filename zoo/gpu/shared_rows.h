#pragma once

// Rows of a tensor on their way to shared memory, where warps multiply them (tile.h).

#include <cstddef>

#include "zoo/gpu/kernel.h"
#include "zoo/gpu/ptx.h"

namespace zoo::gpu {

/// Rows of shared memory are 4 floats longer than a multiple of 8: aligned to 16 bytes, and the 32 words that the lanes
/// of a warp load for a tile by its rows lie in 32 banks. (By its columns, they lie in 16.)
inline constexpr int row_padding = 4;

/// Rows in device memory: `count` of them, `width` columns of each.
struct Rows {
  const float* origin;
  std::ptrdiff_t stride;
  int count;
  int width;
};

__host__ __device__ constexpr int round_up(int count, int to) {
  return (count + to - 1) / to * to;
}
__host__ __device__ constexpr int blocks_of(int count, int size) {
  return (count + size - 1) / size;
}

/// The whole block begins to copy rows to shared memory, with zeros in place of what is not there: so nothing of what
/// surrounds a tensor can come into a product.
__device__ __forceinline__ void begin_copy(float* to, int pitch, int row_count, const Rows& from) {
  const int thread = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  const int columns = pitch - row_padding;
  const bool aligned =
      from.stride % 4 == 0 && from.width % 4 == 0 && reinterpret_cast<std::size_t>(from.origin) % 16 == 0;
  const int step = aligned ? 4 : 1;
  const int steps_a_row = columns / step;
  for (int i = thread; i < row_count * steps_a_row; i += threads) {
    const int row = i / steps_a_row;
    const int column = i % steps_a_row * step;
    float* at = to + row * pitch + column;
    const float* source = from.origin + row * from.stride + column;
    const bool there = row < from.count && column < from.width;
    if (there && aligned) {
      copy_async<16>(at, source);
    } else if (there) {
      copy_async<4>(at, source);
    } else {
      for (int j = 0; j < step; ++j) at[j] = 0;
    }
  }
}

}  // namespace zoo::gpu
