#pragma once

#include <cstdint>
#include <vector>

#include "zoo/cpu/fast_weights.h"
#include "zoo/gpu/launch_shape.h"
#include "zoo/gpu/precision.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// Whether the kernels below can compute with device(): the keys, queries and labels of a piece must fit into the
/// shared memory of a block.
bool fast_weights_fit(const cpu::FastWeightsSizes& sizes);

/// The dual form of zoo/cpu/fast_weights.h, which says what the fields mean, a block for each head of each sequence;
/// all pointers are to device memory. `workspace` is fast_weights_forward_workspace() floats: what does not fit into
/// shared memory. Throws Error for sizes that do not fit.
void fast_weights_forward(const cpu::FastWeightsSizes& sizes, const cpu::FastWeightsInputs<float>& inputs,
                          const cpu::FastWeightsOutputs<float>& outputs, float* workspace, Precision precision,
                          Stream& stream);
std::int64_t fast_weights_forward_workspace(const cpu::FastWeightsSizes& sizes);

/// The gradients, as cpu::fast_weights_backward, given the forward pass's checkpoints. `workspace` is
/// fast_weights_backward_workspace() floats: also the weights before each piece between two checkpoints, which are
/// computed again. Throws as fast_weights_forward does.
void fast_weights_backward(const cpu::FastWeightsSizes& sizes, const cpu::FastWeightsInputs<float>& inputs,
                           const float* checkpoints, const float* z_gradient,
                           const cpu::FastMaps<const float>& map_gradients,
                           const cpu::FastWeightsGradients<float>& gradients, float* workspace, Precision precision,
                           Stream& stream);
std::int64_t fast_weights_backward_workspace(const cpu::FastWeightsSizes& sizes);

/// The kernel that fast_weights_forward launches, and the one that fast_weights_backward does.
std::vector<LaunchShape> fast_weights_forward_kernels(const cpu::FastWeightsSizes& sizes);
std::vector<LaunchShape> fast_weights_backward_kernels(const cpu::FastWeightsSizes& sizes);

/// Bytes that they move through shared memory (shared_traffic.h), in float32; forward with checkpoints or without.
double fast_weights_forward_traffic(const cpu::FastWeightsSizes& sizes, bool checkpoints);
double fast_weights_backward_traffic(const cpu::FastWeightsSizes& sizes);

}  // namespace zoo::gpu
