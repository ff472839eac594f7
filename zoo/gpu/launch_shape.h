#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "zoo/gpu/device.h"

namespace zoo::gpu {

/// How a kernel is launched on device().
struct LaunchShape {
  const char* kernel = "";
  std::uint64_t blocks = 0;      ///< of all slices; 0: nothing is launched
  unsigned slices = 1;           ///< of the blocks, counted by blockIdx.y
  unsigned threads = 0;          ///< of a block
  std::size_t shared_bytes = 0;  ///< of a block
};

/// How many such blocks a multiprocessor of device() has room for by its shared memory, its threads and its 32 places
/// for blocks (CUDA programming guide, compute capability 8.0 and 9.0); the kernel's registers may allow fewer.
inline unsigned resident_blocks(const LaunchShape& shape) {
  const Device& limits = device();
  constexpr std::size_t taken_by_the_system = 1024;  // of shared memory, in each block
  const std::size_t by_memory = limits.shared_bytes_per_multiprocessor / (shape.shared_bytes + taken_by_the_system);
  return std::min({static_cast<unsigned>(by_memory), limits.threads_per_multiprocessor / shape.threads, 32U});
}

}  // namespace zoo::gpu
