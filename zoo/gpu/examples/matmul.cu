#include "zoo/core/error.h"
#include "zoo/gpu/examples/matmul.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/tile.h"

namespace zoo::gpu {

namespace {

constexpr int side = 32;          // of the tile of c that a block computes, and the depth of a step
constexpr int padded = side + 4;  // rows of shared memory: still aligned to 16 bytes, and no two rows begin in one bank
constexpr int threads = 128;      // four warps, each of which computes 16 x 16

struct Shared {
  float a[2][side][padded];
  float b[2][side][padded];
};

// Begins to copy 32 x 32 floats, four a thread and step.
__device__ void begin_tile(float (*to)[padded], const float* from, int row_stride) {
  for (int i = static_cast<int>(threadIdx.x); i < side * side / 4; i += threads)
    copy_async<16>(&to[i / 8][i % 8 * 4], from + static_cast<std::ptrdiff_t>(i / 8) * row_stride + i % 8 * 4);
}

// While the warps multiply one pair of tiles, the next is on its way to the other buffer.
template <typename Format>
__global__ void __launch_bounds__(threads)
    matmul_kernel(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int n, int k) {
  auto& shared = *shared_memory<Shared>();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int row = warp / 2 * 16;
  const int column = warp % 2 * 16;
  a += static_cast<std::ptrdiff_t>(blockIdx.y) * side * k;
  b += blockIdx.x * side;
  c += static_cast<std::ptrdiff_t>(blockIdx.y) * side * n + blockIdx.x * side;

  begin_tile(shared.a[0], a, k);
  begin_tile(shared.b[0], b, n);
  copy_async_commit();
  TileC sums[2];
  for (int step = 0; step < k / side; ++step) {
    if (step + 1 < k / side) {
      begin_tile(shared.a[(step + 1) % 2], a + (step + 1) * side, k);
      begin_tile(shared.b[(step + 1) % 2], b + static_cast<std::ptrdiff_t>(step + 1) * side * n, n);
    }
    copy_async_commit();
    copy_async_wait<1>();
    __syncthreads();
    for (int at = 0; at < side; at += Format::depth) {
      for (int half = 0; half < 2; ++half)
        multiply_add(sums[half], load_a<Format>(&shared.a[step % 2][row][at], padded, 1),
                     load_b<Format>(&shared.b[step % 2][at][column + half * 8], padded, 1));
    }
    __syncthreads();
  }
  for (int half = 0; half < 2; ++half)
    store(sums[half], c + static_cast<std::ptrdiff_t>(row) * n + column + half * 8, n, 1);
}

}  // namespace

void tiled_matmul(const float* a, const float* b, float* c, int m, int n, int k, Precision precision, Stream& stream) {
  if (m % side != 0 || n % side != 0 || k % side != 0)
    throw UsageError("tiled_matmul: m = {}, n = {} and k = {} must be multiples of {}", m, n, k, side);
  if (m == 0 || n == 0) return;
  const dim3 grid(static_cast<unsigned>(n / side), static_cast<unsigned>(m / side));
  with_format(precision, [&](auto format) {
    launch(matmul_kernel<decltype(format)>, grid, threads, sizeof(Shared), stream, a, b, c, n, k);
  });
}

}  // namespace zoo::gpu
