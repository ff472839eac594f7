#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "zoo/gpu/device.h"

// What only the emulated device has: a seed, a choice of what to be, and a list of its allocations.

namespace zoo::gpu {

/// The seed of the random order of threads, blocks and streams: ZOO_GPU_SEED, or a new one for each process. Every
/// report of a fault names it. Throws UsageError when ZOO_GPU_SEED is not a number.
std::uint64_t schedule_seed();
/// Sets the seed and counts launches from 0 again: the same calls after it run in the same order.
void set_schedule_seed(std::uint64_t seed);

/// The limits of two GPUs by NVIDIA's data sheets and the CUDA programming guide; memory_bytes is what they have.
Device h100();
Device a100();
/// Makes the emulated device like `like` (an h100() at first, with half of this machine's memory).
void emulate_device(const Device& like);

/// A live allocation of device memory.
struct DeviceAllocation {
  const void* memory = nullptr;
  std::size_t bytes = 0;
  const char* file = "";  ///< where it was made
  unsigned line = 0;
};
/// What is allocated now: a test that ends with more than it began with leaks.
std::vector<DeviceAllocation> device_allocations();

}  // namespace zoo::gpu
