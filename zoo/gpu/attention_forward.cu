#include "zoo/gpu/attention.h"
#include "zoo/gpu/attention_dropout.h"
#include "zoo/gpu/attention_tile.h"

namespace zoo::gpu {

namespace {

using namespace attention;

// Shared memory, in floats: the block's queries and the warps' staging memory grow with its rows; keys and values of a
// span do not.
template <typename Format>
struct ForwardMemory {
  int pitch;
  int value_pitch;

  __host__ __device__ explicit ForwardMemory(const Extents& sizes)
      : pitch(pitch_of<Format>(sizes.d)), value_pitch(pitch_of<Tf32>(sizes.dv < slice ? sizes.dv : slice)) {}
  __host__ __device__ int a_row() const { return pitch + staging_pitch; }
  __host__ __device__ int besides() const { return span * (pitch + value_pitch); }
};

// One block computes the rows of `warps` x 16 queries of a head, and 64 columns of them. While scores are computed,
// values are on their way, and while values are summed, the next keys.
template <typename Format, bool drops>
__global__ void __launch_bounds__(most_warps * 32)
    forward_kernel(Extents sizes, const float* __restrict__ q, const float* __restrict__ k, const float* __restrict__ v,
                   const float* __restrict__ key_bias, float* __restrict__ y, float* __restrict__ log_sum) {
  const ForwardMemory<Format> memory(sizes);
  const QueryBlock own(sizes);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  auto* shared_k = shared_memory<float>();
  float* shared_v = shared_k + span * memory.pitch;
  float* shared_q = shared_v + span * memory.value_pitch;
  float* staging = shared_q + own.rows * memory.pitch + warp * tile_rows * staging_pitch;
  const int first_column = static_cast<int>(blockIdx.y) * slice;
  const int columns = min(slice, sizes.dv - first_column);

  const auto begin_keys = [&](int key) {
    if (key < own.end)
      begin_copy(shared_k, memory.pitch, span, sizes.key_rows(k, own.sequence, key, own.end, own.kv_head, sizes.d));
    copy_async_commit();
  };
  const auto begin_values = [&](int key) {
    if (key < own.end) {
      Rows rows_of_v = sizes.key_rows(v, own.sequence, key, own.end, own.kv_head, sizes.dv);
      rows_of_v.origin += first_column;
      rows_of_v.width = columns;
      begin_copy(shared_v, memory.value_pitch, span, rows_of_v);
    }
    copy_async_commit();
  };
  begin_copy(shared_q, memory.pitch, own.rows, sizes.query_rows(q, own.sequence, own.first, own.head, sizes.d));
  begin_keys(own.begin);
  begin_values(own.begin);

  TileC sums[slice_tiles];
  // The smallest finite number for "nothing seen yet": its difference to -infinity is not NaN.
  float largest[2] = {-FLT_MAX, -FLT_MAX};
  float total[2] = {0, 0};  // of what this lane holds
  for (int key = own.begin; key < own.end; key += span) {
    const bool any = sizes.any_sees(own.query, key, span);
    copy_async_wait<1>();
    __syncthreads();
    TileC scores[span_tiles];
    if (any)
      multiply_by_transpose<Format>(scores, shared_q + warp * tile_rows * memory.pitch, shared_k, sizes.d,
                                    memory.pitch);
    __syncthreads();
    begin_keys(key + span);
    if (any) {
      for (int tile = 0; tile < span_tiles; ++tile) {
        for (int i = 0; i < 4; ++i) {
          const int own_key = key + tile * tile_columns + TileC::column(i);
          const bool seen = sizes.sees(own.query + TileC::row(i), own_key);
          const float bias =
              seen && key_bias != nullptr ? key_bias[sizes.of_key(own.sequence, own_key, own.kv_head, 1)] : 0.0F;
          scores[tile].values[i] = seen ? scores[tile].values[i] * sizes.scale + bias : -INFINITY;
        }
      }
      for (int half = 0; half < 2; ++half) {
        float best = largest[half];
        for (const TileC& tile : scores) best = fmaxf(best, fmaxf(tile.values[2 * half], tile.values[2 * half + 1]));
        best = across_row(best, [](float a, float b) { return fmaxf(a, b); });
        const float shrink = expf(largest[half] - best);
        largest[half] = best;
        total[half] *= shrink;
        for (TileC& tile : sums) {
          tile.values[2 * half] *= shrink;
          tile.values[2 * half + 1] *= shrink;
        }
        for (TileC& tile : scores) {
          for (int i = 2 * half; i < 2 * half + 2; ++i) {
            tile.values[i] = expf(tile.values[i] - best);
            total[half] += tile.values[i];
          }
        }
      }
      if constexpr (drops) {
        KeptWeights kept = {};
        kept.decide(sizes, own.sequence, own.head, own.query, key);
        for (int tile = 0; tile < span_tiles; ++tile) {
          for (int i = 0; i < 4; ++i) {
            if (!kept(tile, i)) scores[tile].values[i] = 0;
          }
        }
      }
      stage(scores, staging);
    }
    copy_async_wait<1>();
    __syncthreads();
    if (any) multiply_weights<Format>(sums, staging, shared_v, columns, memory.value_pitch);
    __syncthreads();
    begin_values(key + span);
  }

  float factor[2];
  for (int half = 0; half < 2; ++half) {
    total[half] = across_row(total[half], [](float a, float b) { return a + b; });
    factor[half] = sizes.kept / total[half];
    const int row = own.query + TileC::row(2 * half);
    if (blockIdx.y == 0 && TileC::column(0) == 0 && row < sizes.queries)
      log_sum[sizes.of_query(own.sequence, row, own.head, 1)] = largest[half] + logf(total[half]);
  }
  store_rows(sums, factor, y + sizes.of_query(own.sequence, own.query, own.head, sizes.dv) + first_column,
             std::ptrdiff_t{sizes.heads} * sizes.dv, sizes.queries - own.query, columns);
}

template <typename Format>
LaunchShape forward_shape(const Extents& sizes) {
  const ForwardMemory<Format> memory(sizes);
  return choose_shape("attention_forward", sizes.queries, std::uint64_t{1} * sizes.batch * sizes.heads,
                      blocks_of(sizes.dv, slice), memory.a_row(), memory.besides());
}

}  // namespace

void attention_forward(const cpu::AttentionSizes& sizes, const cpu::AttentionInputs<float>& inputs,
                       const cpu::AttentionOutputs<float>& outputs, Precision precision, Stream& stream) {
  const Extents extents = checked(sizes, inputs);
  with_format(precision, [&](auto format) {
    using Format = decltype(format);
    with_dropout(extents, [&](auto drops) {
      launch_shape(forward_kernel<Format, drops()>, forward_shape<Format>(extents), stream, extents, inputs.q, inputs.k,
                   inputs.v, inputs.key_bias, outputs.y, outputs.log_sum);
    });
  });
}

std::vector<LaunchShape> attention_forward_kernels(const cpu::AttentionSizes& sizes, Precision precision) {
  const Extents extents = checked(sizes);
  std::vector<LaunchShape> result;
  with_format(precision, [&](auto format) { result = {forward_shape<decltype(format)>(extents)}; });
  return result;
}

}  // namespace zoo::gpu
