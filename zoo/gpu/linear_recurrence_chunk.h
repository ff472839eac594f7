#pragma once

// What the recurrence's kernels share. Time is cut into chunks of 64 steps. A block has four warps and computes
// matrices of 64 x 64 from others that lie in shared memory, a warp 16 rows of each.

#include <cmath>

#include "zoo/cpu/linear_recurrence.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/shared_rows.h"
#include "zoo/gpu/tile.h"

namespace zoo::gpu::recurrence {

inline constexpr int chunk = 64;  // steps; and columns of a slice
inline constexpr int threads = chunk / tile_rows * 32;
inline constexpr int pitch = chunk + row_padding;
inline constexpr int tiles = chunk / tile_columns;

/// 64 steps or channels of 64 numbers, in shared memory.
using Matrix = float[chunk * pitch];

/// cpu::RecurrenceSizes, checked, in the numbers that kernels compute with.
struct Extents {
  int batch, length, heads, groups, parts, dk, dv;
  cpu::RecurrenceDecay decay;

  __host__ __device__ int chunks() const { return blocks_of(length, chunk); }
  __host__ __device__ std::ptrdiff_t all_heads() const { return std::ptrdiff_t{batch} * heads; }
  __host__ __device__ std::ptrdiff_t cells() const { return std::ptrdiff_t{dk} * dv; }
  /// Factors that a chunk's decay has for a head's state: one, or one of each key channel.
  __host__ __device__ int factors() const { return decay == cpu::RecurrenceDecay::channel_and_step ? dk : 1; }
  /// The floats of the states before all chunks, [chunks,B,H,dk,dv]; [chunks,B,H,factors()] numbers follow them.
  __host__ __device__ std::ptrdiff_t states() const { return chunks() * all_heads() * cells(); }
  __device__ int heads_a_part() const { return heads / (groups * parts); }
  __device__ int group_of(int head) const { return head / (heads / groups); }

  /// A slice of 64 columns, from the chunk that begins at `first` on, of a tensor [B,T,count,width].
  __device__ Rows steps(const float* tensor, int sequence, int first, int count, int index, int width,
                        int column) const {
    const std::ptrdiff_t row = (static_cast<std::ptrdiff_t>(sequence) * length + first) * count + index;
    return {tensor + row * width + column, std::ptrdiff_t{count} * width, length - first, width - column};
  }
  /// A slice of a state [dk,dv].
  __device__ Rows state(const float* states, int of_chunk, int sequence, int head, int row, int column) const {
    const std::ptrdiff_t at = of_chunk * all_heads() + static_cast<std::ptrdiff_t>(sequence) * heads + head;
    return {states + at * cells() + static_cast<std::ptrdiff_t>(row) * dv + column, dv, dk - row, dv - column};
  }
};

/// A chunk of one head of one sequence.
struct ChunkOfHead {
  int sequence, head, own_chunk;

  __device__ int first_step() const { return own_chunk * chunk; }
  /// Its place in a tensor [chunks,B,H].
  __device__ std::ptrdiff_t index(const Extents& sizes) const {
    return own_chunk * sizes.all_heads() + static_cast<std::ptrdiff_t>(sequence) * sizes.heads + head;
  }
  /// The place of its step t in a tensor [B,T,H].
  __device__ std::ptrdiff_t step(const Extents& sizes, int t) const {
    return (static_cast<std::ptrdiff_t>(sequence) * sizes.length + first_step() + t) * sizes.heads + head;
  }
};

/// The chunk of this block, where each has one of its own.
__device__ __forceinline__ ChunkOfHead chunk_of_block(const Extents& sizes) {
  const int block = static_cast<int>(blockIdx.x);
  return {block / sizes.chunks() / sizes.heads, block / sizes.chunks() % sizes.heads, block % sizes.chunks()};
}

/// Throws Error for what the kernels do not compute.
Extents checked(const cpu::RecurrenceSizes& sizes, cpu::RecurrenceDecay decay);
Extents checked(const cpu::RecurrenceSizes& sizes, const cpu::RecurrenceInputs<float>& inputs);

/// The decays of one head in one chunk of `count` steps, always as exponentials of sums of their logarithms over the
/// steps between: not quotients, which overflow, nor differences of long sums, which lose what is small.
struct Decay {
  const float* logs;  ///< nullptr without a decay
  std::ptrdiff_t stride;
  int count;

  __device__ Decay(const Extents& sizes, const float* log_decay, int sequence, int head, int first)
      : logs(nullptr), stride(0), count(min(chunk, sizes.length - first)) {
    if (sizes.decay == cpu::RecurrenceDecay::head) logs = log_decay + head;
    if (sizes.decay == cpu::RecurrenceDecay::head_and_step) {
      logs = log_decay + (static_cast<std::ptrdiff_t>(sequence) * sizes.length + first) * sizes.heads + head;
      stride = sizes.heads;
    }
  }
  /// Of a step; 0 beyond the last.
  __device__ float log(int t) const { return logs == nullptr || t >= count ? 0.0F : logs[t * stride]; }
  /// Through the steps from `begin` to `end`.
  __device__ float through(int begin, int end) const {
    float sum = 0;
    for (int t = begin; t < end; ++t) sum += log(t);
    return expf(sum);
  }
};

/// A chunk's factors, in shared memory.
struct Factors {
  Matrix between;           ///< from step s to step t, at [t][s]; 0 where s > t
  float from_start[chunk];  ///< from the state before the chunk to each step
  float to_end[chunk];      ///< from each step to the state after the chunk
  float step[chunk];        ///< on values; 1 where there are none
};

/// The factor on the values of step t of a chunk.
__device__ __forceinline__ float step_of(const Extents& sizes, const float* step, int sequence, int head, int t) {
  if (step == nullptr || t >= sizes.length) return 1;
  return step[(static_cast<std::ptrdiff_t>(sequence) * sizes.length + t) * sizes.heads + head];
}

/// The whole block; readable after the next barrier.
__device__ __forceinline__ void fill(const Extents& sizes, const float* log_decay, const float* step, int sequence,
                                     int head, int first, Factors& factors) {
  const Decay decay(sizes, log_decay, sequence, head, first);
  const int own = static_cast<int>(threadIdx.x);
  if (own < chunk) {
    float sum = 0;
    for (int t = 0; t < chunk; ++t) {
      if (t > own) sum += decay.log(t);
      factors.between[t * pitch + own] = t < own ? 0.0F : expf(sum);
    }
    factors.to_end[own] = expf(sum);
    factors.step[own] = step_of(sizes, step, sequence, head, first + own);
  } else {
    factors.from_start[own - chunk] = decay.through(0, own - chunk + 1);
  }
}

/// The whole block copies slices to shared memory, with zeros in place of what is not there, when all have read what
/// lay there.
__device__ __forceinline__ void load(Matrix& to, const Rows& from) {
  __syncthreads();
  begin_copy(to, pitch, chunk, from);
  copy_async_commit();
  copy_async_wait<0>();
  __syncthreads();
}
__device__ __forceinline__ void load(Matrix& a, const Rows& rows_of_a, Matrix& b, const Rows& rows_of_b) {
  __syncthreads();
  begin_copy(a, pitch, chunk, rows_of_a);
  begin_copy(b, pitch, chunk, rows_of_b);
  copy_async_commit();
  copy_async_wait<0>();
  __syncthreads();
}

/// sums += a b of a warp: a(row, k) for its 16 rows and k from `begin` to `end`, b(k, column) for `columns` columns;
/// begin is a multiple of 16.
template <typename Format, typename A, typename B>
__device__ __forceinline__ void multiply(TileC (&sums)[tiles], int begin, int end, int columns, const A& a,
                                         const B& b) {
  for (int k = begin; k < end; k += Format::depth) {
    const TileA<Format> rows = tile_a<Format>([&](int row, int at) { return a(row, k + at); });
    for (int tile = 0; tile < tiles; ++tile) {
      if (tile * tile_columns >= columns) continue;
      multiply_add(sums[tile], rows,
                   tile_b<Format>([&](int at, int column) { return b(k + at, tile * tile_columns + column); }));
    }
  }
}

/// Calls body(row, column, element) for all that this lane holds of a warp's 16 rows from `first_row` on.
template <typename Body>
__device__ __forceinline__ void for_elements(TileC (&sums)[tiles], int first_row, const Body& body) {
  for (int tile = 0; tile < tiles; ++tile) {
    for (int i = 0; i < 4; ++i)
      body(first_row + TileC::row(i), tile * tile_columns + TileC::column(i), sums[tile].values[i]);
  }
}

__device__ __forceinline__ int own_row() {
  return static_cast<int>(threadIdx.x) / 32 * tile_rows;
}

/// states [chunks,B,H,dk,dv] = the sums over each chunk's steps of factor_t a_t b_t^T: with a the keys, b the values
/// and what of them reaches the chunk's end (`to_end`), or with the queries, the outputs' gradients and what of the
/// state before the chunk reaches them. `wholes` [chunks,B,H], unless nullptr, becomes what the decay leaves through a
/// chunk.
void begin_states(const Extents& sizes, bool to_end, const float* a, const float* b, const float* log_decay,
                  const float* step, float* states, float* wholes, Precision precision, Stream& stream);
/// From those sums, the states before each chunk; or backward in time, the gradients of the states after each chunk;
/// `wholes` [chunks,B,H,factors()] is what the decay leaves through each chunk. `first` (nullptr: zero) is the state at
/// the beginning of it, and `last` becomes that at its end.
void scan_states(const Extents& sizes, bool backward, const float* first, const float* wholes, float* states,
                 float* last, Stream& stream);
/// y from the states before all chunks, the chunks side by side.
void read_outputs(const Extents& sizes, const cpu::RecurrenceInputs<float>& inputs, const float* states, float* y,
                  Precision precision, Stream& stream);
LaunchShape begin_states_shape(const Extents& sizes);
LaunchShape scan_states_shape(const Extents& sizes);
LaunchShape outputs_shape(const Extents& sizes);

/// into [count] = the sums over chunks of [chunks,count].
void add_chunks(const float* sums, int chunks, std::ptrdiff_t count, float* into, Stream& stream);
LaunchShape add_chunks_shape(std::ptrdiff_t count);

}  // namespace zoo::gpu::recurrence
