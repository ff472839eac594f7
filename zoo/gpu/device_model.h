#pragma once

#include "zoo/gpu/device.h"

namespace zoo::gpu {

/// While one lives, device() tells its thread the limits of another device, for what is calculated and not launched:
/// none needs to be there.
class ModelledDevice {
 public:
  explicit ModelledDevice(const Device& like);
  ~ModelledDevice();
  ModelledDevice(const ModelledDevice&) = delete;
  ModelledDevice& operator=(const ModelledDevice&) = delete;

 private:
  Device like_;
  const Device* outer_;
};

namespace detail {
/// What the thread's innermost ModelledDevice says, or nullptr.
const Device* modelled_device();
}  // namespace detail

}  // namespace zoo::gpu
