#pragma once

// What kernels move through shared memory, counted from their structure, kernel by kernel in the files *_traffic.cu, or
// where that is a line or two behind the kernels themselves: every float that a lane reads or writes there, as often as
// the kernel's source does, so that a number that 32 lanes read counts 32 times. A multiprocessor's shared memory
// serves a warp's 32 lanes with 4 bytes each in a cycle, where their banks differ or their numbers are the same.
// Conflicts of banks, which take longer, are not counted, nor are the addresses of matrices that fast_weights keeps
// there; what a compiler reads once and keeps in registers is. In float32 and TF32, whose tiles are alike: a float is
// taken apart into two TF32 numbers in registers.

namespace zoo::gpu {

/// A product of a warp (tile.h): 16 rows of a, and `columns` columns of b in tiles of 8, over `terms` terms in steps of
/// 8; how many floats of shared memory an element of either is made of. In floats.
inline double product_traffic(int terms, int columns, int of_a = 1, int of_b = 1) {
  constexpr int depth = 8, rows = 16, tile = 8;
  const int steps = (terms + depth - 1) / depth, tiles = (columns + tile - 1) / tile;
  return 1.0 * steps * depth * (rows * of_a + tiles * tile * of_b);
}

}  // namespace zoo::gpu
