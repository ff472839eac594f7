#pragma once

#include "zoo/core/shared_traffic.h"
#include "zoo/gpu/device_model.h"
#include "zoo/gpu/emulation.h"

namespace zoo::gpu {

/// Where somebody wants it, counts what bytes() says of an op's kernels, as they would be launched on each of the
/// modelled GPUs: bytes through shared memory.
template <typename Bytes>
void model_shared_traffic(const Bytes& bytes) {
  if (!counts_shared_traffic()) return;
  SharedBytes all = {};
  const std::array<Device, modelled_gpus> devices = {h100(), a100()};
  for (std::size_t i = 0; i < modelled_gpus; ++i) {
    const ModelledDevice as(devices[i]);
    all[i] = bytes();
  }
  count_shared_bytes(all);
}

}  // namespace zoo::gpu
