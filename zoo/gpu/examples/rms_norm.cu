#include "zoo/gpu/examples/rms_norm.h"
#include "zoo/gpu/launch.h"

namespace zoo::gpu {

namespace {

constexpr int warps = 4;

// The sum over the 32 lanes of a warp, which all get it.
__device__ float warp_sum(float value) {
  for (int by = 16; by > 0; by /= 2) value += __shfl_xor_sync(0xffffffff, value, by);
  return value;
}

// One block a row: lanes add up their columns, warps add up their lanes, and the block its warps through shared memory.
__global__ void __launch_bounds__(warps * 32)
    rms_norm_kernel(const float* __restrict__ x, const float* __restrict__ weight, int width, float epsilon,
                    float* __restrict__ y) {
  auto* sums = shared_memory<float>();  // [warps]
  const int thread = static_cast<int>(threadIdx.x);
  x += static_cast<std::size_t>(blockIdx.x) * width;
  y += static_cast<std::size_t>(blockIdx.x) * width;

  float sum = 0;
  for (int i = thread; i < width; i += warps * 32) sum = fmaf(x[i], x[i], sum);
  sum = warp_sum(sum);
  if (thread % 32 == 0) sums[thread / 32] = sum;
  __syncthreads();

  float total = 0;
  for (int warp = 0; warp < warps; ++warp) total += sums[warp];
  const float scale = rsqrtf(total / static_cast<float>(width) + epsilon);
  for (int i = thread; i < width; i += warps * 32) y[i] = x[i] * scale * weight[i];
}

}  // namespace

void rms_norm(const float* x, const float* weight, int rows, int width, float epsilon, float* y, Stream& stream) {
  if (rows == 0) return;
  launch(rms_norm_kernel, dim3(static_cast<unsigned>(rows)), dim3(warps * 32), warps * sizeof(float), stream, x, weight,
         width, epsilon, y);
}

}  // namespace zoo::gpu
