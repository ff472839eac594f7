#pragma once

#include <cstdint>
#include <string_view>

#include "zoo/core/version.h"

namespace zoo {

/// Where tensors lie and kernels run: one device a process.
enum class Device : std::uint8_t { cpu, gpu };
std::string_view device_name(Device device);
/// "cpu" or "gpu". Throws UsageError for anything else, naming the nearest.
Device parse_device(std::string_view text);

/// Chooses the process's device, before its first tensor. Throws UsageError when this build has no GPU, when the
/// machine has none that can be used, and after the first tensor.
void set_device(Device device);
/// The device that set_device chose, else the one that the environment variable ZOO_DEVICE names, else the CPU. Throws
/// as set_device where ZOO_DEVICE names one that cannot be had: programs call this first thing.
Device current_device();
/// What the device is: "cpu", or the GPU's name.
std::string_view device_description();

namespace detail {
/// Whether tensors lie on the GPU; never changes once there is a tensor.
extern bool tensors_on_gpu;
/// Counts an access of the host to a tensor on the GPU, and waits for the kernels under way.
void access_from_host();
}  // namespace detail

/// Whether tensors lie on the GPU: a constant in builds without one.
inline bool on_gpu() {
  return gpu_built && detail::tensors_on_gpu;
}

/// What happened to tensors on the GPU so far: an op that the host computes shows in the second number alone.
struct DeviceCounts {
  std::uint64_t kernels = 0;        ///< times that kernels were given to the GPU
  std::uint64_t host_accesses = 0;  ///< times that the host asked for a tensor's elements
};
DeviceCounts device_counts();

}  // namespace zoo
