#pragma once

#include "zoo/cpu/diagonal_scan_selective.h"
#include "zoo/gpu/launch_shape.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// The scan of Mamba, as cpu::selective_scan_forward (zoo/cpu/diagonal_scan_selective.h), which says what the fields
/// mean; all pointers are to device memory. Time is cut into pieces of 16 steps that are computed side by side, each
/// from the state before it, which outputs.checkpoints keeps: N/4 bytes a step and channel. The last state may take the
/// initial one's place. Throws Error for sizes below 0 or beyond 2147483647, and for states of more numbers than a
/// block's shared memory has room for.
void selective_scan_forward(const cpu::SelectiveScanSizes& sizes, const cpu::SelectiveScanInputs<float>& inputs,
                            const cpu::SelectiveScanOutputs<float>& outputs, Stream& stream);

/// The gradients of the inputs for those of y and of the last state (nullptr: zero), as cpu::selective_scan_backward,
/// but B's and C's are parts [selective_scan_blocks(),B,T,N]. States within a piece are computed again from its
/// checkpoint. Any length from 1 on.
void selective_scan_backward(const cpu::SelectiveScanSizes& sizes, const cpu::SelectiveScanInputs<float>& inputs,
                             const float* checkpoints, const float* dy, const float* dstate,
                             const cpu::SelectiveScanGradients<float>& into, Stream& stream);
/// Blocks of channels, each of which leaves a part of the gradients of B and C.
std::int64_t selective_scan_blocks(const cpu::SelectiveScanSizes& sizes);

/// Whether a block's shared memory has room for both kernels, which it has for states of some hundred numbers.
bool selective_scan_has_room(const cpu::SelectiveScanSizes& sizes);

/// The kernel that selective_scan_forward launches, and the one that selective_scan_backward does.
LaunchShape selective_scan_forward_kernel(const cpu::SelectiveScanSizes& sizes);
LaunchShape selective_scan_backward_kernel(const cpu::SelectiveScanSizes& sizes);
/// Bytes that they move through shared memory (shared_traffic.h). Throw as the kernels do.
double selective_scan_forward_traffic(const cpu::SelectiveScanSizes& sizes);
double selective_scan_backward_traffic(const cpu::SelectiveScanSizes& sizes);

}  // namespace zoo::gpu
