#pragma once

// The recurrence whose decay belongs to each key channel. What flows from step s to step t of a chunk is decayed by
// another factor in each channel, so that the scores are no product of two matrices. A chunk's 64 steps are therefore
// four sub-chunks of 16 (Yang et al. 2023, "Gated linear attention", section 4.3): between two of them the factor is
// that from s to the end of its sub-chunk, through those between, and from the beginning of t's to t; each is at most
// 1, so that nothing overflows, and scores are products again. Within a sub-chunk keys are decayed step by step.

#include <vector>

#include "zoo/gpu/linear_recurrence_chunk.h"

namespace zoo::gpu::recurrence {

inline constexpr int sub_chunk = tile_rows;  // steps, which are a warp's rows
inline constexpr int sub_chunks = chunk / sub_chunk;

/// The decays of 64 key channels of a chunk, in shared memory.
struct ChannelDecays {
  Matrix step;                                           ///< of each step
  float logs[sub_chunks][chunk];                         ///< of each whole sub-chunk
  float through[sub_chunks + 1][sub_chunks + 1][chunk];  ///< through sub-chunks begin .. end - 1, at [begin][end]
};

/// From the logarithms in decays.step, by the whole block; readable after the next barrier. Where there are no channels
/// or no steps the logarithms are 0.
__device__ __forceinline__ void exponentiate(ChannelDecays& decays) {
  for (int i = static_cast<int>(threadIdx.x); i < sub_chunks * chunk; i += threads) {
    const int channel = i % chunk;
    const int sub = i / chunk;
    float sum = 0;
    for (int t = sub * sub_chunk; t < (sub + 1) * sub_chunk; ++t) {
      float& decay = decays.step[t * pitch + channel];
      sum += decay;
      decay = expf(decay);
    }
    decays.logs[sub][channel] = sum;
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < (sub_chunks + 1) * chunk; i += threads) {
    const int channel = i % chunk;
    const int begin = i / chunk;
    float sum = 0;
    for (int end = begin; end <= sub_chunks; ++end) {
      if (end > begin) sum += decays.logs[end - 1][channel];
      decays.through[begin][end][channel] = expf(sum);
    }
  }
}

/// Queries become those that read the state before their sub-chunk, and keys what reaches the state after theirs; by
/// the whole block, between barriers. With `before`, a step reads the state before its update.
__device__ __forceinline__ void decay_within(const ChannelDecays& decays, bool before, Matrix& queries, Matrix& keys) {
  for (int i = static_cast<int>(threadIdx.x); i < sub_chunks * chunk; i += threads) {
    const int first = i / chunk * sub_chunk * pitch + i % chunk;
    float from_start = 1;
    for (int at = first; at < first + sub_chunk * pitch; at += pitch) {
      const float updated = from_start * decays.step[at];
      queries[at] *= before ? from_start : updated;
      from_start = updated;
    }
    float to_end = 1;
    for (int at = first + (sub_chunk - 1) * pitch; at >= first; at -= pitch) {
      keys[at] *= to_end;
      to_end *= decays.step[at];
    }
  }
}

/// Adds q_t . k_s over `width` channels with the decays between s and t, or with a bonus those between s and t - 1 and
/// the bonus where s = t: within each sub-chunk to `scores` [t][s], which the first slice sets, and between sub-chunks
/// to the tiles of the warp's rows. Queries and keys, which lie in shared memory, are decayed as by decay_within. By
/// the whole block, between barriers.
template <typename Format>
__device__ __forceinline__ void add_scores(const ChannelDecays& decays, Matrix& queries, Matrix& keys,
                                           const float* bonus, int width, bool first_slice, Matrix& scores,
                                           TileC (&between)[tiles]) {
  const int sub = static_cast<int>(threadIdx.x) / 32;
  const int t0 = sub * sub_chunk;
  const int s = static_cast<int>(threadIdx.x) % 32 / 2;
  const int half = static_cast<int>(threadIdx.x) % 2;  // two lanes share the channels of a key
  const bool before = bonus != nullptr;
  float sums[sub_chunk];
  for (float& sum : sums) sum = 0;
  for (int i = half; i < width; i += 2) {
    const int column = t0 * pitch + i;
    float key = keys[column + s * pitch];
    for (int t = 0; t < sub_chunk; ++t) {
      // By selection: a step to come may be infinite, and 0 times it would not be 0.
      if (t < s) continue;
      const float decay = t > s ? decays.step[column + t * pitch] : 1.0F;
      if (!before) key *= decay;
      const float read = before && t == s ? key * bonus[i] : key;
      sums[t] = fmaf(queries[column + t * pitch], read, sums[t]);
      if (before) key *= decay;
    }
  }
  for (int t = 0; t < sub_chunk; ++t) {
    const float sum = sums[t] + __shfl_xor_sync(0xffffffff, sums[t], 1);
    float& score = scores[(t0 + t) * pitch + t0 + s];
    if (half == 0) score = first_slice ? sum : score + sum;
  }
  __syncthreads();
  decay_within(decays, before, queries, keys);
  __syncthreads();
  multiply<Format>(
      between, 0, width, t0, [&](int t, int i) { return queries[(t0 + t) * pitch + i]; },
      [&](int i, int at) { return keys[at * pitch + i] * decays.through[at / sub_chunk + 1][sub][i]; });
}

/// Completes the warp's rows of scores by the tiles of add_scores, up to its own sub-chunk.
__device__ __forceinline__ void store_between(TileC (&between)[tiles], Matrix& scores) {
  for_elements(between, own_row(), [&](int t, int s, float score) {
    if (s < own_row()) scores[t * pitch + s] = score;
  });
}

/// A slice of the log decays [B,T,H,dk] of a chunk.
__device__ __forceinline__ Rows log_decays(const Extents& sizes, const float* log_decay, int sequence, int first,
                                           int head, int channel) {
  return sizes.steps(log_decay, sequence, first, sizes.heads, head, sizes.dk, channel);
}

/// As begin_states of linear_recurrence_chunk.h, with a factor in each channel; wholes are [chunks,B,H,dk]. With
/// `before`, a step reads the state before its update.
void begin_channel_states(const Extents& sizes, bool to_end, bool before, const float* a, const float* b,
                          const float* log_decay, float* states, float* wholes, Precision precision, Stream& stream);
LaunchShape begin_channel_states_shape(const Extents& sizes);

/// The recurrence, and its gradients, of sizes with such a decay.
void channel_forward(const Extents& sizes, const cpu::RecurrenceInputs<float>& inputs,
                     const cpu::RecurrenceOutputs<float>& outputs, Precision precision, Stream& stream);
void channel_backward(const Extents& sizes, const cpu::RecurrenceInputs<float>& inputs,
                      const cpu::RecurrenceOutputs<const float>& output_gradients,
                      const cpu::RecurrenceGradients<float>& gradients, float* scratch, Precision precision,
                      Stream& stream);
std::vector<LaunchShape> channel_forward_kernels(const Extents& sizes);
std::vector<LaunchShape> channel_backward_kernels(const Extents& sizes);

}  // namespace zoo::gpu::recurrence
