#include <cmath>

#include "zoo/gpu/extent.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/softmax.h"
#include "zoo/gpu/warp.h"

namespace zoo::gpu {

namespace {

constexpr int warps = 8;
constexpr int threads = warps * 32;

// The row of this warp, which reads it again from the first cache; false where there is none.
struct Row {
  std::ptrdiff_t origin;
  int lane;
  bool inside;

  __device__ Row(int rows, int count) : lane(static_cast<int>(threadIdx.x) % 32) {
    const int row = static_cast<int>(blockIdx.x) * warps + static_cast<int>(threadIdx.x) / 32;
    inside = row < rows;
    origin = static_cast<std::ptrdiff_t>(row) * count;
  }
};

template <bool logarithm>
__global__ void __launch_bounds__(threads)
    forward_kernel(const float* __restrict__ x, int rows, int count, float* __restrict__ y) {
  const Row row(rows, count);
  if (!row.inside) return;
  x += row.origin;
  y += row.origin;
  float largest = -INFINITY;
  for (int i = row.lane; i < count; i += 32) largest = fmaxf(largest, x[i]);
  largest = across_warp(largest, [](float a, float b) { return fmaxf(a, b); });
  float sum = 0;
  for (int i = row.lane; i < count; i += 32) sum += expf(x[i] - largest);
  sum = warp_sum(sum);
  const float log_sum = logf(sum);
  for (int i = row.lane; i < count; i += 32) y[i] = logarithm ? x[i] - largest - log_sum : expf(x[i] - largest) / sum;
}

// softmax: y (grad - <grad, y>); its logarithm: grad - exp(y) sum(grad).
template <bool logarithm>
__global__ void __launch_bounds__(threads) backward_kernel(const float* __restrict__ y, const float* __restrict__ grad,
                                                           int rows, int count, float* __restrict__ result) {
  const Row row(rows, count);
  if (!row.inside) return;
  y += row.origin;
  grad += row.origin;
  result += row.origin;
  float sum = 0;
  for (int i = row.lane; i < count; i += 32) sum = logarithm ? sum + grad[i] : fmaf(grad[i], y[i], sum);
  sum = warp_sum(sum);
  for (int i = row.lane; i < count; i += 32)
    result[i] = logarithm ? grad[i] - expf(y[i]) * sum : y[i] * (grad[i] - sum);
}

// Launches a kernel of a warp a row.
template <typename... Parameters, typename... Arguments>
void launch_rows(void (*kernel)(Parameters...), std::int64_t rows, std::int64_t count, float* result, Stream& stream,
                 Arguments... arguments) {
  const int height = extent("softmax", "rows", rows);
  const int width = extent("softmax", "count", count);
  if (height == 0 || width == 0) return;
  launch(kernel, static_cast<unsigned>(height / warps + (height % warps > 0 ? 1 : 0)), threads, 0, stream, arguments...,
         height, width, result);
}

}  // namespace

void softmax(const float* x, std::int64_t rows, std::int64_t count, float* y, Stream& stream) {
  launch_rows(forward_kernel<false>, rows, count, y, stream, x);
}

void softmax_backward(const float* y, const float* grad, std::int64_t rows, std::int64_t count, float* result,
                      Stream& stream) {
  launch_rows(backward_kernel<false>, rows, count, result, stream, y, grad);
}

void log_softmax(const float* x, std::int64_t rows, std::int64_t count, float* y, Stream& stream) {
  launch_rows(forward_kernel<true>, rows, count, y, stream, x);
}

void log_softmax_backward(const float* y, const float* grad, std::int64_t rows, std::int64_t count, float* result,
                          Stream& stream) {
  launch_rows(backward_kernel<true>, rows, count, result, stream, y, grad);
}

}  // namespace zoo::gpu
