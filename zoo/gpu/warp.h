#pragma once

#include "zoo/gpu/kernel.h"

namespace zoo::gpu {

/// combine(x, y) over the values of all 32 lanes, which all get it, the same bits. `combine` must be commutative.
template <typename T, typename Combine>
__device__ __forceinline__ T across_warp(T value, const Combine& combine) {
  for (int by = 16; by > 0; by /= 2) value = combine(value, __shfl_xor_sync(0xffffffff, value, by));
  return value;
}

__device__ __forceinline__ float warp_sum(float value) {
  return across_warp(value, [](float a, float b) { return a + b; });
}

}  // namespace zoo::gpu
