#pragma once

#include <cstddef>
#include <cstdint>

#include "zoo/gpu/extent.h"
#include "zoo/gpu/launch.h"

namespace zoo::gpu {

inline constexpr int each_threads = 256;
inline constexpr int each_items = 4;  // of a thread, a block's width apart

template <typename Body>
__global__ void __launch_bounds__(each_threads) each_kernel(Body body, int count) {
  const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(blockIdx.x) * each_threads * each_items + threadIdx.x;
  for (int i = 0; i < each_items; ++i) {
    const std::ptrdiff_t at = first + i * each_threads;
    if (at < count) body(static_cast<int>(at));
  }
}

/// Has the GPU call body(i) once for each i in [0, size), in no order: a value with a __device__ operator(). Throws
/// Error for sizes below 0 or beyond 2147483647, naming the family.
template <typename Body>
void launch_each(const char* family, std::int64_t size, const Body& body, Stream& stream) {
  const int count = extent(family, "count", size);
  if (count == 0) return;
  constexpr int a_block = each_threads * each_items;
  const int blocks = count / a_block + (count % a_block > 0 ? 1 : 0);
  launch(each_kernel<Body>, static_cast<unsigned>(blocks), each_threads, 0, stream, body, count);
}

}  // namespace zoo::gpu
