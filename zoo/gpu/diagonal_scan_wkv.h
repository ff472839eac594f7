#pragma once

#include "zoo/cpu/diagonal_scan_wkv.h"
#include "zoo/gpu/launch_shape.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// RWKV-4's weighted mean, as cpu::wkv_forward (zoo/cpu/diagonal_scan_wkv.h), which says what the fields mean; all
/// pointers are to device memory. The last state may be written where the first lies. Throws Error for sizes below 0 or
/// beyond 2147483647.
void wkv_forward(const cpu::ScanSizes& sizes, const cpu::WkvInputs<float>& inputs,
                 const cpu::WkvOutputs<float>& outputs, Stream& stream);

/// The gradients of the inputs for those of y and of the last state (nullptr: zero), as cpu::wkv_backward. Any length
/// from 1 on.
void wkv_backward(const cpu::ScanSizes& sizes, const cpu::WkvInputs<float>& inputs, const float* checkpoints,
                  const float* dy, const cpu::WkvState<const float>& dstate, const cpu::WkvGradients<float>& into,
                  Stream& stream);

/// The kernel that wkv_forward launches, and the one that wkv_backward does.
LaunchShape wkv_forward_kernel(const cpu::ScanSizes& sizes);
LaunchShape wkv_backward_kernel(const cpu::ScanSizes& sizes);
/// Bytes that they move through shared memory (shared_traffic.h).
double wkv_forward_traffic(const cpu::ScanSizes& sizes);
double wkv_backward_traffic(const cpu::ScanSizes& sizes);

}  // namespace zoo::gpu
