#include <type_traits>

#include "zoo/gpu/each.h"
#include "zoo/gpu/matmul.h"
#include "zoo/gpu/tile.h"

namespace zoo::gpu {

namespace {

constexpr int tile = 32;           // rows and columns of C of a block, and steps of k at a time
constexpr int part = 4;            // rows and columns of C of a thread
constexpr int side = tile / part;  // threads along each
constexpr int threads = side * side;
constexpr int pitch = tile + part;  // keeps columns in different banks, and four neighbours aligned

struct Shared {
  float a[tile * pitch];  // [k, m]
  float b[tile * pitch];  // [k, n]
};

struct Sizes {
  int m, n, k;
  int tiles_m, tiles_n;
  bool transpose_a, transpose_b, accumulate;
};

// An operand as the tensor cores round it.
template <typename Format>
__device__ __forceinline__ float rounded(float x) {
  if constexpr (std::is_same_v<Format, Tf32>) {
    return round_to_tf32(x);
  } else if constexpr (std::is_same_v<Format, Bf16>) {
    return to_float(to_bfloat16(x));
  } else {
    return x;
  }
}

// Brings a tile of a matrix [rows, columns] to shared memory, transposed or not, with zeros beyond its edges.
template <typename Format>
__device__ __forceinline__ void load(const float* matrix, int rows, int columns, int first_row, int first_column,
                                     bool transpose, float* to) {
  for (int i = static_cast<int>(threadIdx.x); i < tile * tile; i += threads) {
    const int row = i / tile;
    const int column = i % tile;
    const bool inside = first_row + row < rows && first_column + column < columns;
    const float value =
        inside ? matrix[static_cast<std::ptrdiff_t>(first_row + row) * columns + first_column + column] : 0.0F;
    to[transpose ? column * pitch + row : row * pitch + column] = rounded<Format>(value);
  }
}

// A block a tile of C. Products and sums are rounded apart, which the host executor's compiler makes vectors of; a GPU
// has cuBLAS. Products of rounded operands are exact in float.
template <typename Format>
__global__ void __launch_bounds__(threads)
    tiled_matmul_kernel(Sizes sizes, const float* __restrict__ a, const float* __restrict__ b,
                        const float* __restrict__ bias, float* __restrict__ c) {
  auto& shared = *shared_memory<Shared>();
  const int tile_n = static_cast<int>(blockIdx.x) % sizes.tiles_n;
  const int tile_m = static_cast<int>(blockIdx.x) / sizes.tiles_n % sizes.tiles_m;
  const std::ptrdiff_t matrix = static_cast<int>(blockIdx.x) / sizes.tiles_n / sizes.tiles_m;
  a += matrix * sizes.m * sizes.k;
  b += matrix * sizes.k * sizes.n;
  c += matrix * sizes.m * sizes.n;
  const int row = static_cast<int>(threadIdx.x) / side * part;
  const int column = static_cast<int>(threadIdx.x) % side * part;

  // Each tile's products are added up by themselves: of long sums, roundings grow as the root of the tiles' number.
  float totals[part][part] = {};
  for (int first = 0; first < sizes.k; first += tile) {
    if (sizes.transpose_a) {
      load<Format>(a, sizes.k, sizes.m, first, tile_m * tile, false, shared.a);
    } else {
      load<Format>(a, sizes.m, sizes.k, tile_m * tile, first, true, shared.a);
    }
    if (sizes.transpose_b) {
      load<Format>(b, sizes.n, sizes.k, tile_n * tile, first, true, shared.b);
    } else {
      load<Format>(b, sizes.k, sizes.n, first, tile_n * tile, false, shared.b);
    }
    __syncthreads();
    const int steps = min(tile, sizes.k - first);
    float sums[part][part] = {};
    for (int k = 0; k < steps; ++k) {
      for (int i = 0; i < part; ++i) {
        const float factor = shared.a[k * pitch + row + i];
        for (int j = 0; j < part; ++j) sums[i][j] += factor * shared.b[k * pitch + column + j];
      }
    }
    __syncthreads();
    for (int i = 0; i < part; ++i) {
      for (int j = 0; j < part; ++j) totals[i][j] += sums[i][j];
    }
  }
  for (int i = 0; i < part; ++i) {
    for (int j = 0; j < part; ++j) {
      const int at_row = tile_m * tile + row + i;
      const int at_column = tile_n * tile + column + j;
      if (at_row >= sizes.m || at_column >= sizes.n) continue;
      float& into = c[static_cast<std::ptrdiff_t>(at_row) * sizes.n + at_column];
      float value = totals[i][j];
      if (bias != nullptr) value += bias[at_column];
      into = sizes.accumulate ? into + value : value;
    }
  }
}

struct FillRows {
  const float* bias;
  int n;
  float* c;
  __device__ void operator()(int i) const { c[i] = bias == nullptr ? 0.0F : bias[i % n]; }
};

int tiles_of(int count) {
  return count / tile + (count % tile > 0 ? 1 : 0);
}

}  // namespace

void matmul_tiled(const cpu::MatmulShape& shape, const float* a, const float* b, const float* bias, float* c,
                  Precision precision, Stream& stream) {
  const int m = extent("matmul", "m", shape.m);
  const int n = extent("matmul", "n", shape.n);
  const Sizes sizes = {m,
                       n,
                       extent("matmul", "k", shape.k),
                       tiles_of(m),
                       tiles_of(n),
                       shape.transpose_a,
                       shape.transpose_b,
                       shape.accumulate};
  const int batch = extent("matmul", "batch", shape.batch);
  const LaunchShape how = {.kernel = "matmul",
                           .blocks = std::uint64_t{1} * static_cast<unsigned>(batch) *
                                     static_cast<unsigned>(sizes.tiles_m) * static_cast<unsigned>(sizes.tiles_n),
                           .threads = threads,
                           .shared_bytes = sizeof(Shared)};
  with_format(precision, [&](auto format) {
    launch_shape(tiled_matmul_kernel<decltype(format)>, how, stream, sizes, a, b, shape.bias ? bias : nullptr, c);
  });
}

void fill_rows(const float* bias, std::int64_t rows, std::int64_t n, float* c, Stream& stream) {
  launch_each("matmul", rows * n, FillRows{bias, extent("matmul", "n", n), c}, stream);
}

}  // namespace zoo::gpu
