// What the host executor costs on one core: never a timing of a GPU. Prints one line a measurement, the best of five.
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "zoo/gpu/examples/matmul.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/memory.h"

namespace zoo::gpu {

__global__ void barriers(int count) {
  for (int i = 0; i < count; ++i) __syncthreads();
}

__global__ void shuffles(int count, float* y) {
  float value = 1;
  for (int i = 0; i < count; ++i) value = __shfl_xor_sync(0xffffffff, value, 1);
  y[blockIdx.x * blockDim.x + threadIdx.x] = value;
}

__global__ void nothing() {}

namespace {

// The least seconds of five runs, each waited for.
template <typename Run>
double seconds(Stream& stream, const Run& run) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 5; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    run();
    stream.synchronize();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

void measure() {
  omp_set_num_threads(1);
  Stream stream;
  constexpr unsigned blocks = 4;
  DeviceBuffer<float> y(std::size_t{blocks} * 1024);
  constexpr int count = 200;
  for (const unsigned threads : {32U, 128U, 256U, 1024U}) {
    const double barrier = seconds(stream, [&] { launch(barriers, blocks, threads, 0, stream, count); });
    const double shuffle = seconds(stream, [&] { launch(shuffles, blocks, threads, 0, stream, count, y.data()); });
    const double start = seconds(stream, [&] { launch(nothing, 256, threads, 0, stream); });
    fmt::print("block of {}: {:.0f} ns a thread and barrier, {:.0f} a shuffle, {:.0f} a thread started\n", threads,
               barrier / (1.0 * blocks * threads * count) * 1e9, shuffle / (1.0 * blocks * threads * count) * 1e9,
               start / (256.0 * threads) * 1e9);
  }
  const double launches = seconds(stream, [&] {
    for (int i = 0; i < 100; ++i) launch(nothing, 1, 1, 0, stream);
  });
  fmt::print("launch of one thread: {:.1f} us\n", launches / 100 * 1e6);

  constexpr int side = 256;
  DeviceBuffer<float> a(side * side);
  DeviceBuffer<float> c(side * side);
  fill_async(a.data(), 0, a.bytes(), stream);
  for (const auto& [precision, name] : {std::pair{Precision::float32, "split TF32"}, std::pair{Precision::tf32, "TF32"},
                                        std::pair{Precision::bf16, "bf16"}}) {
    const auto run = [&, chosen = precision] {
      tiled_matmul(a.data(), a.data(), c.data(), side, side, side, chosen, stream);
    };
    fmt::print("tiled_matmul of {0} x {0} x {0} in {1}: {2:.2f} GF/s\n", side, name,
               2.0 * side * side * side / seconds(stream, run) * 1e-9);
  }
}

}  // namespace
}  // namespace zoo::gpu

int main() {
  zoo::gpu::measure();
}
