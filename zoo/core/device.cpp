#include "zoo/core/device.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "zoo/core/accelerator.h"
#include "zoo/core/error.h"

namespace zoo {

bool detail::tensors_on_gpu = false;

namespace {

std::atomic<bool> kernels_under_way = false;
std::atomic<bool> any_tensor = false;
std::atomic<std::uint64_t> kernel_count = 0;
std::atomic<std::uint64_t> host_access_count = 0;

// Chosen at most once, but by set_device again before the first tensor.
std::optional<Device>& chosen() {
  static std::optional<Device> device;
  return device;
}
std::recursive_mutex& choice_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

// Never destroyed: tensors with static storage may outlive any order of destruction.
Accelerator*& the_accelerator() {
  static Accelerator* instance = nullptr;
  return instance;
}

void start_gpu() {
  if constexpr (gpu_built) {
    if (the_accelerator() != nullptr) return;
    try {
      the_accelerator() = make_accelerator().release();
    } catch (const Error& error) {
      throw UsageError("the device gpu cannot be used: {}", error.what());
    }
  } else {
    throw UsageError(
        "this build of zoo has no device gpu; build one with cmake -DZOO_GPU=CUDA (an NVIDIA GPU) or "
        "-DZOO_GPU=EMULATED (the same kernels on the CPU), or use --device cpu");
  }
}

Device device_of_environment() {
  const char* wanted = std::getenv("ZOO_DEVICE");
  if (wanted == nullptr || *wanted == '\0') return Device::cpu;
  try {
    return parse_device(wanted);
  } catch (const UsageError& error) {
    throw UsageError("ZOO_DEVICE: {}", error.what());
  }
}

}  // namespace

std::string_view device_name(Device device) {
  return device == Device::gpu ? "gpu" : "cpu";
}

Device parse_device(std::string_view text) {
  if (text == "cpu") return Device::cpu;
  if (text == "gpu") return Device::gpu;
  static const std::array<std::string, 2> names = {"cpu", "gpu"};
  throw UsageError(unknown_name_message("device", text, names));
}

void set_device(Device device) {
  const std::lock_guard lock(choice_mutex());
  if (chosen() == device) return;
  if (any_tensor) {
    throw UsageError("the device is {} since the first tensor was made; choose {} before", device_name(*chosen()),
                     device_name(device));
  }
  if (device == Device::gpu) start_gpu();
  detail::tensors_on_gpu = device == Device::gpu;
  chosen() = device;
}

Device current_device() {
  const std::lock_guard lock(choice_mutex());
  if (!chosen()) set_device(device_of_environment());
  return *chosen();
}

std::string_view device_description() {
  static const std::string name = current_device() == Device::gpu ? accelerator().name() : "cpu";
  return name;
}

DeviceCounts device_counts() {
  return {kernel_count.load(std::memory_order_relaxed), host_access_count.load(std::memory_order_relaxed)};
}

Accelerator& accelerator() {
  return *the_accelerator();
}

void detail::kernels_given() {
  kernel_count.fetch_add(1, std::memory_order_relaxed);
  kernels_under_way.store(true, std::memory_order_relaxed);
}

void detail::tensors_exist() {
  if (any_tensor.load(std::memory_order_relaxed)) return;
  current_device();
  any_tensor = true;
}

void detail::access_from_host() {
  host_access_count.fetch_add(1, std::memory_order_relaxed);
  if (!kernels_under_way.load(std::memory_order_relaxed)) return;
  kernels_under_way.store(false, std::memory_order_relaxed);
  accelerator().wait();
}

}  // namespace zoo
