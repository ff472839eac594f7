#include "zoo/gpu/device.h"

#include <unistd.h>

#include "zoo/gpu/device_model.h"
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

void emulate_device(const Device& like) {
  emulated_device() = like;
  emulated_device().emulated = true;
}

const Device& device() {
  const Device* modelled = detail::modelled_device();
  return modelled != nullptr ? *modelled : emulated_device();
}

}  // namespace zoo::gpu
