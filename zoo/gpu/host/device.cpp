#include "zoo/gpu/device.h"

#include <unistd.h>

#include "zoo/gpu/emulation.h"

namespace zoo::gpu {

namespace {

Device& emulated_device() {
  static Device value = [] {
    Device like = h100();
    like.name = "emulated H100";
    like.memory_bytes =
        static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) / 2;
    like.emulated = true;
    return like;
  }();
  return value;
}

}  // namespace

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

void emulate_device(const Device& like) {
  emulated_device() = like;
  emulated_device().emulated = true;
}

const Device& device() {
  return emulated_device();
}

}  // namespace zoo::gpu
