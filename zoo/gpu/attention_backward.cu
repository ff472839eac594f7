#include "zoo/gpu/attention.h"
#include "zoo/gpu/attention_dropout.h"
#include "zoo/gpu/attention_tile.h"

namespace zoo::gpu {

namespace {

using namespace attention;

constexpr int delta_warps = 4;

// delta_i = sum_s p_is dp_is = dy_i . y_i; a warp a row.
__global__ void __launch_bounds__(delta_warps * 32)
    delta_kernel(const float* __restrict__ y, const float* __restrict__ dy, std::ptrdiff_t rows, int dv,
                 float* __restrict__ delta) {
  const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(blockIdx.x) * delta_warps + threadIdx.x / 32;
  if (row >= rows) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float sum = 0;
  for (int i = lane; i < dv; i += 32) sum = fmaf(y[row * dv + i], dy[row * dv + i], sum);
  for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(0xffffffff, sum, by);
  if (lane == 0) delta[row] = sum;
}

// Shared memory, in floats: what a row owned by the block takes, and what a row of the span does. Both sides have a row
// of q or k and one of dy or v.
template <typename Format>
struct BackwardMemory {
  int pitch;
  int value_pitch;

  __host__ __device__ explicit BackwardMemory(const Extents& sizes)
      : pitch(pitch_of<Format>(sizes.d)), value_pitch(pitch_of<Format>(sizes.dv)) {}
  __host__ __device__ int a_row() const { return pitch + value_pitch + staging_pitch; }
  __host__ __device__ int besides() const { return span * (pitch + value_pitch); }
};

// A block's part of that memory.
struct SharedRows {
  float* span_rows;     // [span, pitch]
  float* span_values;   // [span, value_pitch]
  float* block_rows;    // [rows, pitch]
  float* block_values;  // [rows, value_pitch]
  float* own_rows;      // this warp's 16 of them
  float* own_values;
  float* staging;  // this warp's
};

template <typename Format>
__device__ __forceinline__ SharedRows shared_rows(const BackwardMemory<Format>& memory) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int rows = static_cast<int>(blockDim.x) / 2;
  SharedRows shared = {};
  shared.span_rows = shared_memory<float>();
  shared.span_values = shared.span_rows + span * memory.pitch;
  shared.block_rows = shared.span_values + span * memory.value_pitch;
  shared.block_values = shared.block_rows + rows * memory.pitch;
  shared.own_rows = shared.block_rows + warp * tile_rows * memory.pitch;
  shared.own_values = shared.block_values + warp * tile_rows * memory.value_pitch;
  shared.staging = shared.block_values + rows * memory.value_pitch + warp * tile_rows * staging_pitch;
  return shared;
}

// The weight of a key, from the log-sum-exp of the query's scores.
__device__ __forceinline__ float weight_of(float product, float scale, float bias, float log_sum) {
  return expf(product * scale + bias - log_sum);
}

// Of a warp's tiles, what dropout leaves.
template <typename Kept>
__device__ __forceinline__ void drop(TileC (&tiles)[span_tiles], float factor, const Kept& kept) {
  for (int tile = 0; tile < span_tiles; ++tile) {
    for (int i = 0; i < 4; ++i) {
      float& value = tiles[tile].values[i];
      value = kept(tile, i) ? value * factor : 0.0F;
    }
  }
}

// dq of `warps` x 16 queries of a head, 64 columns of it, over the keys that they see:
// ds = p (dp - delta), dq = scale ds k.
template <typename Format, bool drops>
__global__ void __launch_bounds__(most_warps * 32, drops ? 3 : 4)
    query_gradient_kernel(Extents sizes, const float* __restrict__ q, const float* __restrict__ k,
                          const float* __restrict__ v, const float* __restrict__ key_bias,
                          const float* __restrict__ log_sum, const float* __restrict__ delta,
                          const float* __restrict__ dy, float* __restrict__ dq) {
  const BackwardMemory<Format> memory(sizes);
  const SharedRows shared = shared_rows(memory);
  const QueryBlock own(sizes);
  const int first_column = static_cast<int>(blockIdx.y) * slice;
  const int columns = min(slice, sizes.d - first_column);

  begin_copy(shared.block_rows, memory.pitch, own.rows,
             sizes.query_rows(q, own.sequence, own.first, own.head, sizes.d));
  begin_copy(shared.block_values, memory.value_pitch, own.rows,
             sizes.query_rows(dy, own.sequence, own.first, own.head, sizes.dv));
  float own_log_sum[2] = {0, 0};
  float own_delta[2] = {0, 0};
  for (int half = 0; half < 2; ++half) {
    const int row = own.query + TileC::row(2 * half);
    if (row >= sizes.queries) continue;
    own_log_sum[half] = log_sum[sizes.of_query(own.sequence, row, own.head, 1)];
    own_delta[half] = delta[sizes.of_query(own.sequence, row, own.head, 1)];
  }

  TileC sums[slice_tiles];
  for (int key = own.begin; key < own.end; key += span) {
    begin_copy(shared.span_rows, memory.pitch, span,
               sizes.key_rows(k, own.sequence, key, own.end, own.kv_head, sizes.d));
    begin_copy(shared.span_values, memory.value_pitch, span,
               sizes.key_rows(v, own.sequence, key, own.end, own.kv_head, sizes.dv));
    copy_async_commit();
    copy_async_wait<0>();
    __syncthreads();
    if (sizes.any_sees(own.query, key, span)) {
      TileC scores[span_tiles];
      TileC gradients[span_tiles];
      multiply_by_transpose<Format>(scores, shared.own_rows, shared.span_rows, sizes.d, memory.pitch);
      multiply_by_transpose<Format>(gradients, shared.own_values, shared.span_values, sizes.dv, memory.value_pitch);
      if constexpr (drops) {
        KeptWeights kept = {};
        kept.decide(sizes, own.sequence, own.head, own.query, key);
        drop(gradients, sizes.kept, kept);
      }
      for (int tile = 0; tile < span_tiles; ++tile) {
        for (int i = 0; i < 4; ++i) {
          const int own_key = key + tile * tile_columns + TileC::column(i);
          float& gradient = gradients[tile].values[i];
          if (sizes.sees(own.query + TileC::row(i), own_key)) {
            const float bias =
                key_bias == nullptr ? 0.0F : key_bias[sizes.of_key(own.sequence, own_key, own.kv_head, 1)];
            gradient = weight_of(scores[tile].values[i], sizes.scale, bias, own_log_sum[i / 2]) *
                       (gradient - own_delta[i / 2]);
          } else {
            gradient = 0;
          }
        }
      }
      stage(gradients, shared.staging);
      multiply_weights<Format>(sums, shared.staging, shared.span_rows + first_column, columns, memory.pitch);
    }
    __syncthreads();
  }
  const float factor[2] = {sizes.scale, sizes.scale};
  store_rows(sums, factor, dq + sizes.of_query(own.sequence, own.query, own.head, sizes.d) + first_column,
             std::ptrdiff_t{sizes.heads} * sizes.d, sizes.queries - own.query, columns);
}

// dk, dv and the bias's gradient of `warps` x 16 keys of a key-value head, 64 columns of each, over the queries of all
// heads of its group that see them: dv = p^T dy, dk = scale ds^T q.
template <typename Format, bool drops>
__global__ void __launch_bounds__(most_warps * 32, drops ? 2 : 3)
    key_gradient_kernel(Extents sizes, const float* __restrict__ q, const float* __restrict__ k,
                        const float* __restrict__ v, const float* __restrict__ key_bias,
                        const float* __restrict__ log_sum, const float* __restrict__ delta,
                        const float* __restrict__ dy, float* __restrict__ dk, float* __restrict__ dv,
                        float* __restrict__ dbias) {
  const BackwardMemory<Format> memory(sizes);
  const SharedRows shared = shared_rows(memory);
  const int rows = static_cast<int>(blockDim.x) / 2;

  const int block = static_cast<int>(blockIdx.x);
  const int tiles = blocks_of(sizes.keys, rows);
  const int block_key = block % tiles * rows;
  const int kv_head = block / tiles % sizes.kv_heads;
  const int sequence = block / tiles / sizes.kv_heads;
  const int group = sizes.heads / sizes.kv_heads;
  const int key = block_key + static_cast<int>(threadIdx.x) / 32 * tile_rows;
  const int first_column = static_cast<int>(blockIdx.y) * slice;
  const int columns = min(slice, sizes.d - first_column);
  const int value_columns = min(slice, sizes.dv - first_column);

  begin_copy(shared.block_rows, memory.pitch, rows,
             sizes.key_rows(k, sequence, block_key, sizes.keys, kv_head, sizes.d));
  begin_copy(shared.block_values, memory.value_pitch, rows,
             sizes.key_rows(v, sequence, block_key, sizes.keys, kv_head, sizes.dv));
  float bias[2] = {0, 0};
  for (int half = 0; half < 2; ++half) {
    const int own_key = key + TileC::row(2 * half);
    if (key_bias != nullptr && own_key < sizes.keys) bias[half] = key_bias[sizes.of_key(sequence, own_key, kv_head, 1)];
  }

  TileC sums[slice_tiles];
  TileC value_sums[slice_tiles];
  float bias_sums[2] = {0, 0};  // of what this lane holds
  const int begin = max(0, block_key - sizes.first_query);
  const int end = sizes.end_of_queries(min(block_key + rows, sizes.keys) - 1);
  for (int member = 0; member < group; ++member) {
    const int head = kv_head * group + member;
    for (int query = begin; query < end; query += span) {
      begin_copy(shared.span_rows, memory.pitch, span, sizes.query_rows(q, sequence, query, head, sizes.d));
      begin_copy(shared.span_values, memory.value_pitch, span, sizes.query_rows(dy, sequence, query, head, sizes.dv));
      copy_async_commit();
      copy_async_wait<0>();
      __syncthreads();
      TileC weights[span_tiles];
      TileC gradients[span_tiles];
      multiply_by_transpose<Format>(weights, shared.own_rows, shared.span_rows, sizes.d, memory.pitch);
      multiply_by_transpose<Format>(gradients, shared.own_values, shared.span_values, sizes.dv, memory.value_pitch);
      KeptWeightsOfKeys kept = {};
      if constexpr (drops) {
        kept.decide(sizes, sequence, head, query, key);
        drop(gradients, sizes.kept, kept);
      }
      for (int tile = 0; tile < span_tiles; ++tile) {
        for (int i = 0; i < 4; ++i) {
          const int own_query = query + tile * tile_columns + TileC::column(i);
          float& weight = weights[tile].values[i];
          float& gradient = gradients[tile].values[i];
          if (sizes.sees(own_query, key + TileC::row(i))) {
            const std::ptrdiff_t at = sizes.of_query(sequence, own_query, head, 1);
            weight = weight_of(weight, sizes.scale, bias[i / 2], log_sum[at]);
            gradient = weight * (gradient - delta[at]);
            bias_sums[i / 2] += gradient;
          } else {
            weight = 0;
            gradient = 0;
          }
        }
      }
      if constexpr (drops) drop(weights, 1, kept);  // the factor comes at the end
      stage(weights, shared.staging);
      multiply_weights<Format>(value_sums, shared.staging, shared.span_values + first_column, value_columns,
                               memory.value_pitch);
      stage(gradients, shared.staging);
      multiply_weights<Format>(sums, shared.staging, shared.span_rows + first_column, columns, memory.pitch);
      __syncthreads();
    }
  }
  // Where no query sees the keys, their copies are still under way.
  copy_async_commit();
  copy_async_wait<0>();

  const float factor[2] = {sizes.scale, sizes.scale};
  const float kept_factor[2] = {sizes.kept, sizes.kept};
  store_rows(sums, factor, dk + sizes.of_key(sequence, key, kv_head, sizes.d) + first_column,
             std::ptrdiff_t{sizes.kv_heads} * sizes.d, sizes.keys - key, columns);
  store_rows(value_sums, kept_factor, dv + sizes.of_key(sequence, key, kv_head, sizes.dv) + first_column,
             std::ptrdiff_t{sizes.kv_heads} * sizes.dv, sizes.keys - key, value_columns);
  for (int half = 0; half < 2; ++half) {
    const float sum = across_row(bias_sums[half], [](float a, float b) { return a + b; });
    const int own_key = key + TileC::row(2 * half);
    if (dbias != nullptr && blockIdx.y == 0 && TileC::column(0) == 0 && own_key < sizes.keys)
      dbias[sizes.of_key(sequence, own_key, kv_head, 1)] = sum;
  }
}

LaunchShape delta_shape(const Extents& sizes) {
  const auto rows = std::uint64_t{1} * sizes.batch * sizes.queries * sizes.heads;
  return {.kernel = "attention_delta",
          .blocks = (rows + delta_warps - 1) / delta_warps,
          .threads = delta_warps * 32,
          .shared_bytes = 0};
}

template <typename Format>
LaunchShape query_shape(const Extents& sizes) {
  const BackwardMemory<Format> memory(sizes);
  return choose_shape("attention_query_gradient", sizes.queries, std::uint64_t{1} * sizes.batch * sizes.heads,
                      blocks_of(sizes.d, slice), memory.a_row(), memory.besides());
}

template <typename Format>
LaunchShape key_shape(const Extents& sizes) {
  const BackwardMemory<Format> memory(sizes);
  return choose_shape("attention_key_gradient", sizes.keys, std::uint64_t{1} * sizes.batch * sizes.kv_heads,
                      blocks_of(max(sizes.d, sizes.dv), slice), memory.a_row(), memory.besides());
}

}  // namespace

void attention_backward(const cpu::AttentionSizes& sizes, const cpu::AttentionInputs<float>& inputs,
                        const cpu::AttentionOutputs<const float>& outputs, const float* dy,
                        const cpu::AttentionGradients<float>& gradients, float* delta, Precision precision,
                        Stream& stream) {
  const Extents extents = checked(sizes, inputs);
  const std::ptrdiff_t rows = std::ptrdiff_t{1} * extents.batch * extents.queries * extents.heads;
  launch_shape(delta_kernel, delta_shape(extents), stream, outputs.y, dy, rows, extents.dv, delta);
  with_format(precision, [&](auto format) {
    using Format = decltype(format);
    with_dropout(extents, [&](auto drops) {
      launch_shape(query_gradient_kernel<Format, drops()>, query_shape<Format>(extents), stream, extents, inputs.q,
                   inputs.k, inputs.v, inputs.key_bias, outputs.log_sum, delta, dy, gradients.q);
      launch_shape(key_gradient_kernel<Format, drops()>, key_shape<Format>(extents), stream, extents, inputs.q,
                   inputs.k, inputs.v, inputs.key_bias, outputs.log_sum, delta, dy, gradients.k, gradients.v,
                   gradients.key_bias);
    });
  });
}

std::vector<LaunchShape> attention_backward_kernels(const cpu::AttentionSizes& sizes, Precision precision) {
  const Extents extents = checked(sizes);
  std::vector<LaunchShape> result = {delta_shape(extents)};
  with_format(precision, [&](auto format) {
    using Format = decltype(format);
    result.push_back(query_shape<Format>(extents));
    result.push_back(key_shape<Format>(extents));
  });
  return result;
}

}  // namespace zoo::gpu
