#include "zoo/gpu/launch.h"
#include "zoo/gpu/totals.h"
#include "zoo/gpu/warp.h"

namespace zoo::gpu {

namespace {

constexpr int threads = 256;
constexpr std::int64_t block_numbers = 64 * threads;  // whose squares a block adds up

// The sum of term(i) for i in [first, last), by all threads of a block, which all get it: each thread's terms in turn,
// then those of a warp, then the warps'.
template <typename Term>
__device__ __forceinline__ double block_sum(std::int64_t first, std::int64_t last, const Term& term) {
  auto* of_warps = shared_memory<double>();
  double own = 0;
  for (std::int64_t i = first + threadIdx.x; i < last; i += threads) own += term(i);
  own = across_warp(own, [](double a, double b) { return a + b; });
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = own;
  __syncthreads();
  double all = 0;
  for (int warp = 0; warp < threads / 32; ++warp) all += of_warps[warp];
  return all;
}

// One block.
template <typename Sum>
__global__ void __launch_bounds__(threads)
    total_kernel(const double* __restrict__ numbers, std::int64_t count, Sum* __restrict__ sum) {
  const double all = block_sum(0, count, [=](std::int64_t i) { return numbers[i]; });
  if (threadIdx.x == 0) *sum = static_cast<Sum>(all);
}

// A block for each block_numbers.
__global__ void __launch_bounds__(threads)
    squares_kernel(const float* __restrict__ numbers, std::int64_t count, double* __restrict__ sums) {
  const std::int64_t first = blockIdx.x * block_numbers;
  const std::int64_t last = first + block_numbers < count ? first + block_numbers : count;
  const double all = block_sum(first, last, [=](std::int64_t i) {
    const double x = numbers[i];
    return x * x;
  });
  if (threadIdx.x == 0) sums[blockIdx.x] = all;
}

constexpr std::size_t shared_bytes = threads / 32 * sizeof(double);

void check(std::int64_t count) {
  if (count < 0) throw Error("a sum of {} numbers was asked for; there must be 0 or more", count);
}

}  // namespace

void total(const double* numbers, std::int64_t count, float* sum, Stream& stream) {
  check(count);
  launch(total_kernel<float>, 1, threads, shared_bytes, stream, numbers, count, sum);
}

std::int64_t sum_of_squares_scratch(std::int64_t count) {
  check(count);
  return (count + block_numbers - 1) / block_numbers;
}

void sum_of_squares(const float* numbers, std::int64_t count, double* scratch, double* sum, Stream& stream) {
  const std::int64_t blocks = sum_of_squares_scratch(count);
  if (blocks > 0) {
    const LaunchShape shape = {.kernel = "sum_of_squares",
                               .blocks = static_cast<std::uint64_t>(blocks),
                               .threads = threads,
                               .shared_bytes = shared_bytes};
    launch_shape(squares_kernel, shape, stream, numbers, count, scratch);
  }
  launch(total_kernel<double>, 1, threads, shared_bytes, stream, scratch, blocks, sum);
}

}  // namespace zoo::gpu
