#pragma once

#include "zoo/cpu/diagonal_scan.h"
#include "zoo/gpu/launch_shape.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// Steps of a piece of time.
inline constexpr int diagonal_scan_piece = 16;

/// h_t = a_t * h_{t-1} + b_t, as cpu::diagonal_scan_forward; all pointers are to device memory. Time is cut into pieces
/// of 16 steps that are computed side by side, so that the product of 16 neighbouring a must be finite. Throws Error
/// for sizes below 0 or beyond 2147483647.
void diagonal_scan_forward(const cpu::ScanSizes& sizes, const float* a, const float* b, const float* initial, float* h,
                           Stream& stream);

/// The gradients of a, b and initial for dh, the gradient of h, as cpu::diagonal_scan_backward.
void diagonal_scan_backward(const cpu::ScanSizes& sizes, const float* a, const float* h, const float* initial,
                            const float* dh, const cpu::DiagonalScanGradients<float>& into, Stream& stream);

/// The kernel that either of them launches.
LaunchShape diagonal_scan_kernel(const cpu::ScanSizes& sizes);
/// Bytes that it moves through shared memory (shared_traffic.h).
double diagonal_scan_traffic(const cpu::ScanSizes& sizes);

}  // namespace zoo::gpu
