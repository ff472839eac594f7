#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace zoo::gpu {

/// What a GPU can do. Kernels' tile sizes and shared memory are derived from these at run time, never assumed.
struct Device {
  std::string name = {};
  int compute_major = 0;  ///< compute capability, 8.0 for an A100
  int compute_minor = 0;
  std::size_t memory_bytes = 0;
  std::size_t l2_bytes = 0;
  unsigned multiprocessors = 0;
  unsigned threads_per_multiprocessor = 0;
  unsigned threads_per_block = 0;
  unsigned block_limit[3] = {};  ///< the most threads of a block along x, y and z
  unsigned grid_limit[3] = {};   ///< the most blocks of a grid along x, y and z
  std::size_t shared_bytes_per_block = 0;
  std::size_t shared_bytes_per_multiprocessor = 0;
  unsigned registers_per_multiprocessor = 0;  ///< of 32 bits
  bool emulated = false;
};

/// The device in use. Throws Error when there is none, or its driver is too old.
const Device& device();

}  // namespace zoo::gpu
