#include "zoo/gpu/device_model.h"

#include <utility>

#include "zoo/gpu/emulation.h"

namespace zoo::gpu {

namespace {
thread_local const Device* modelled = nullptr;
}

ModelledDevice::ModelledDevice(const Device& like) : like_(like), outer_(std::exchange(modelled, &like_)) {}

ModelledDevice::~ModelledDevice() {
  modelled = outer_;
}

const Device* detail::modelled_device() {
  return modelled;
}

Device h100() {
  return {.name = "H100",
          .compute_major = 9,
          .compute_minor = 0,
          .memory_bytes = std::size_t{80} << 30,
          .l2_bytes = std::size_t{50} << 20,
          .multiprocessors = 132,
          .threads_per_multiprocessor = 2048,
          .threads_per_block = 1024,
          .block_limit = {1024, 1024, 64},
          .grid_limit = {2147483647, 65535, 65535},
          .shared_bytes_per_block = 227 * 1024,
          .shared_bytes_per_multiprocessor = 228 * 1024,
          .registers_per_multiprocessor = 65536};
}

Device a100() {
  Device device = h100();
  device.name = "A100";
  device.compute_major = 8;
  device.l2_bytes = std::size_t{40} << 20;
  device.multiprocessors = 108;
  device.shared_bytes_per_block = 163 * 1024;
  device.shared_bytes_per_multiprocessor = 164 * 1024;
  return device;
}

}  // namespace zoo::gpu
