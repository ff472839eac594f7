#pragma once

#include "zoo/cpu/l1_distance.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// sum_i |q_i - k_i|, as cpu::l1_distance_forward (zoo/cpu/l1_distance.h); all pointers are to device memory. Throws
/// Error for sizes below 0 or beyond 2147483647.
void l1_distance_forward(const cpu::DistanceSizes& sizes, const float* q, const float* k, float* distances,
                         Stream& stream);
void l1_distance_backward(const cpu::DistanceSizes& sizes, const float* q, const float* k, const float* ddistances,
                          float* dq, float* dk, Stream& stream);

/// Bytes that they move through shared memory (shared_traffic.h).
double l1_distance_forward_traffic(const cpu::DistanceSizes& sizes);
double l1_distance_backward_traffic(const cpu::DistanceSizes& sizes);

}  // namespace zoo::gpu
