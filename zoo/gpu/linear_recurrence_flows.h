#pragma once

// What flows through each step of a recurrence, of which the gradient of its log decay is made.

#include "zoo/gpu/linear_recurrence_chunk.h"
#include "zoo/gpu/warp.h"

namespace zoo::gpu::recurrence {

/// Over the warps of a block, which all get the sum.
__device__ __forceinline__ float block_sum(float value, float (&warp_sums)[threads / 32]) {
  const float sum = warp_sum(value);
  __syncthreads();  // the call before has been read
  if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
  __syncthreads();
  float result = 0;
  for (const float of_warp : warp_sums) result += of_warp;
  return result;
}

/// The sum of each of this lane's two rows over the warp's columns, to the row's place.
__device__ __forceinline__ void store_row_sums(const float (&sums)[2], float* into) {
  for (int half = 0; half < 2; ++half) {
    const float sum = across_row(sums[half], [](float a, float b) { return a + b; });
    if (TileC::column(0) == 0) into[own_row() + TileC::row(2 * half)] = sum;
  }
}

/// The gradient of each step's log decay is all that flows through that step: from the steps and the state before it to
/// it, to those after it and to the state after the chunk; added up without differences, so that the little that passes
/// a strong decay is not lost in what does not. `shared` has the flows: factors.between from step to step, from_state
/// and to_state; `dstates` are the gradients of the states after each chunk.
template <typename Shared>
__device__ __forceinline__ void decay_gradients(const Extents& sizes, const ChunkOfHead& at, const float* states,
                                                const float* dstates, Shared& shared, float* __restrict__ dlog_decay) {
  const std::ptrdiff_t state = at.index(sizes) * sizes.cells();
  float through = 0;
  for (std::ptrdiff_t i = threadIdx.x; i < sizes.cells(); i += threads)
    through = fmaf(states[state + i], dstates[state + i], through);
  through = block_sum(through, shared.warp_sums) * shared.factors.from_start[chunk - 1];
  float* flow = shared.factors.between;
  const int own = static_cast<int>(threadIdx.x);
  if (own < chunk) {  // what flows from step `own` to step t becomes what flows from there to t or later
    for (int t = chunk - 2; t >= own; --t) flow[t * pitch + own] += flow[(t + 1) * pitch + own];
  }
  __syncthreads();
  if (own >= chunk || at.first_step() + own >= sizes.length) return;
  float sum = through;
  for (int s = 0; s < own; ++s) sum += shared.to_state[s] + flow[own * pitch + s];
  for (int t = chunk - 1; t >= own; --t) sum += shared.from_state[t];
  dlog_decay[at.step(sizes, own)] = sum;
}

}  // namespace zoo::gpu::recurrence
