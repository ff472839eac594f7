#include "zoo/gpu/delta_rule_chunk.h"

namespace zoo::gpu::delta {

namespace {

using namespace recurrence;

struct SolveShared {
  Matrix rows;
  Matrix lower;  // M beta, or beta M; then P^T dy
  Matrix inverse;
  Factors factors;  // `between` becomes P, backward
};

// (I + lower)^-1 of a matrix that is 0 on and above the diagonal. First the parts of 16 x 16 on the diagonal, a thread
// a column; then a warp the parts below each: T_ij = -T_ii sum_k lower_ik T_kj. Parts above the diagonal stay as they
// are. All threads of the block, between barriers.
template <typename Format>
__device__ __forceinline__ void invert(const Matrix& lower, Matrix& inverse) {
  const int own = static_cast<int>(threadIdx.x);
  if (own < chunk) {
    const int first = own / tile_rows * tile_rows;
    for (int t = first; t < first + tile_rows; ++t) {
      float sum = t == own ? 1.0F : 0.0F;
      for (int s = first; s < t; ++s) sum = fmaf(-lower[t * pitch + s], inverse[s * pitch + own], sum);
      inverse[t * pitch + own] = sum;
    }
  }
  __syncthreads();
  const int column = own_row();
  const auto known = [&](int k, int j) { return inverse[k * pitch + column + j]; };
  for (int row = column + tile_rows; row < chunk; row += tile_rows) {
    const auto store = [&](int t, int j, float sum) {
      if (j < tile_rows) inverse[t * pitch + column + j] = sum;
    };
    TileC sums[tiles];
    multiply<Format>(
        sums, column, row, tile_rows, [&](int t, int k) { return lower[(row + t) * pitch + k]; }, known);
    for_elements(sums, row, store);
    __syncwarp();
    TileC products[tiles];
    multiply<Format>(
        products, row, row + tile_rows, tile_rows, [&](int t, int k) { return -inverse[(row + t) * pitch + k]; },
        known);
    __syncwarp();
    for_elements(products, row, store);
    __syncwarp();
  }
}

// One chunk of one head.
template <typename Format, bool backward>
__global__ void __launch_bounds__(threads, 2)
    solve_kernel(Extents sizes, const float* __restrict__ q, const float* __restrict__ k,
                 const float* __restrict__ values, const float* __restrict__ beta, const float* __restrict__ log_decay,
                 float* __restrict__ solved_values, float* __restrict__ solved_keys) {
  auto& shared = *shared_memory<SolveShared>();
  Factors& factors = shared.factors;
  const ChunkOfHead at = chunk_of_block(sizes);
  const int first = at.first_step();
  const int t0 = own_row();
  const auto steps = [&](const float* tensor, int width, int column) {
    return sizes.steps(tensor, at.sequence, first, sizes.heads, at.head, width, column);
  };
  const auto store = [&](float* tensor, int width, int column, TileC(&sums)[tiles]) {
    for_elements(sums, t0, [&](int t, int j, float sum) {
      if (first + t >= sizes.length || column + j >= width) return;
      tensor[at.step(sizes, t) * width + column + j] = sum;
    });
  };

  fill(sizes, log_decay, beta, at.sequence, at.head, first, factors);
  TileC pairs[tiles];
  TileC scores[tiles];
  for (int i0 = 0; i0 < sizes.dk; i0 += chunk) {
    const int width = min(chunk, sizes.dk - i0);
    const auto by_key = [&](int i, int s) { return shared.rows[s * pitch + i]; };
    load(shared.rows, steps(k, sizes.dk, i0), shared.lower, steps(backward ? q : k, sizes.dk, i0));
    multiply<Format>(
        pairs, 0, width, t0 + tile_rows, [&](int t, int i) { return shared.rows[(t0 + t) * pitch + i]; }, by_key);
    if constexpr (backward)
      multiply<Format>(
          scores, 0, width, t0 + tile_rows, [&](int t, int i) { return shared.lower[(t0 + t) * pitch + i]; }, by_key);
  }
  __syncthreads();
  for (int tile = 0; tile < tiles; ++tile) {
    for (int i = 0; i < 4; ++i) {
      const int t = t0 + TileC::row(i);
      const int s = tile * tile_columns + TileC::column(i);
      // By selection, as the recurrence's kernels do.
      const float factor = factors.between[t * pitch + s];
      const float rate = factors.step[backward ? t : s];
      shared.lower[t * pitch + s] = factor > 0 && s < t ? pairs[tile].values[i] * factor * rate : 0.0F;
      if constexpr (backward) factors.between[t * pitch + s] = factor > 0 ? scores[tile].values[i] * factor : 0.0F;
    }
  }
  __syncthreads();
  invert<Format>(shared.lower, shared.inverse);

  for (int j0 = 0; j0 < sizes.dv; j0 += chunk) {
    const int columns = min(chunk, sizes.dv - j0);
    load(shared.rows, steps(values, sizes.dv, j0));
    TileC sums[tiles];
    if constexpr (backward) {
      TileC read[tiles];
      multiply<Format>(
          read, t0, chunk, columns, [&](int s, int t) { return factors.between[t * pitch + t0 + s]; },
          [&](int t, int j) { return shared.rows[t * pitch + j]; });
      for_elements(read, t0, [&](int s, int j, float sum) { shared.lower[s * pitch + j] = sum; });
      __syncthreads();
      multiply<Format>(
          sums, t0, chunk, columns, [&](int s, int t) { return shared.inverse[t * pitch + t0 + s]; },
          [&](int t, int j) { return shared.lower[t * pitch + j]; });
    } else {
      multiply<Format>(
          sums, 0, t0 + tile_rows, columns, [&](int t, int s) { return shared.inverse[(t0 + t) * pitch + s]; },
          [&](int s, int j) { return shared.rows[s * pitch + j]; });
    }
    store(solved_values, sizes.dv, j0, sums);
  }
  for (int i0 = 0; i0 < sizes.dk; i0 += chunk) {
    const int columns = min(chunk, sizes.dk - i0);
    load(shared.rows, steps(k, sizes.dk, i0));
    TileC sums[tiles];
    if constexpr (backward) {
      multiply<Format>(
          sums, t0, chunk, columns, [&](int s, int t) { return shared.inverse[t * pitch + t0 + s]; },
          [&](int t, int i) { return factors.to_end[t] * shared.rows[t * pitch + i]; });
    } else {
      multiply<Format>(
          sums, 0, t0 + tile_rows, columns, [&](int t, int s) { return shared.inverse[(t0 + t) * pitch + s]; },
          [&](int s, int i) { return factors.from_start[s] * shared.rows[s * pitch + i]; });
    }
    store(solved_keys, sizes.dk, i0, sums);
  }
}

}  // namespace

LaunchShape solve_shape(const Extents& sizes) {
  return {.kernel = "delta_rule_solve",
          .blocks = std::uint64_t{1} * sizes.batch * sizes.heads * sizes.chunks(),
          .threads = threads,
          .shared_bytes = sizeof(SolveShared)};
}

void solve_forward(const Extents& sizes, const cpu::DeltaRuleInputs<float>& inputs, const Solved& solved,
                   Precision precision, Stream& stream) {
  with_format(precision, [&](auto format) {
    launch_shape(solve_kernel<decltype(format), false>, solve_shape(sizes), stream, sizes, nullptr, inputs.k, inputs.v,
                 inputs.beta, inputs.log_decay, solved.values, solved.keys);
  });
}

void solve_backward(const Extents& sizes, const cpu::DeltaRuleInputs<float>& inputs, const float* dy,
                    const Solved& solved, Precision precision, Stream& stream) {
  with_format(precision, [&](auto format) {
    launch_shape(solve_kernel<decltype(format), true>, solve_shape(sizes), stream, sizes, inputs.q, inputs.k, dy,
                 inputs.beta, inputs.log_decay, solved.values, solved.keys);
  });
}

}  // namespace zoo::gpu::delta
