#include "zoo/gpu/extent.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/norm.h"
#include "zoo/gpu/warp.h"

namespace zoo::gpu {

namespace {

constexpr int warps = 8;
constexpr int threads = warps * 32;
constexpr int block_rows = 128;  // whose contributions to the gradients of weight and bias are added up together

// What a row is shifted and multiplied by.
struct Moments {
  float mean;
  float inverse;
};

template <bool centred>
__device__ __forceinline__ Moments moments(const float* x, int count, int lane, float epsilon) {
  Moments result = {0, 0};
  if constexpr (centred) {
    float sum = 0;
    for (int i = lane; i < count; i += 32) sum += x[i];
    result.mean = warp_sum(sum) / static_cast<float>(count);
  }
  float squares = 0;
  for (int i = lane; i < count; i += 32) squares = fmaf(x[i] - result.mean, x[i] - result.mean, squares);
  result.inverse = 1 / sqrtf(warp_sum(squares) / static_cast<float>(count) + epsilon);
  return result;
}

// A warp a row, which it reads again from the first cache: no shared memory.
template <bool centred>
__global__ void __launch_bounds__(threads)
    forward_kernel(const float* __restrict__ x, const float* __restrict__ weight, const float* __restrict__ bias,
                   int rows, int count, float epsilon, float* __restrict__ y) {
  const int row = static_cast<int>(blockIdx.x) * warps + static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (row >= rows) return;
  x += static_cast<std::ptrdiff_t>(row) * count;
  y += static_cast<std::ptrdiff_t>(row) * count;
  const Moments of_row = moments<centred>(x, count, lane, epsilon);
  for (int i = lane; i < count; i += 32) {
    float value = (x[i] - of_row.mean) * of_row.inverse;
    if (weight != nullptr) value *= weight[i];
    if (bias != nullptr) value += bias[i];
    y[i] = value;
  }
}

// With n = (x - mean) r and h = grad * weight: dx = r (h - mean(h) - n mean(h n)), without mean(h) where the norm does
// not centre. Leaves each row's moments for the kernel below.
template <bool centred>
__global__ void __launch_bounds__(threads)
    backward_kernel(const float* __restrict__ x, const float* __restrict__ weight, const float* __restrict__ grad,
                    int rows, int count, float epsilon, float* __restrict__ dx, Moments* __restrict__ of_rows) {
  const int row = static_cast<int>(blockIdx.x) * warps + static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (row >= rows) return;
  const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(row) * count;
  x += start;
  grad += start;
  const Moments of_row = moments<centred>(x, count, lane, epsilon);
  if (lane == 0) of_rows[row] = of_row;
  if (dx == nullptr) return;
  const auto weighted = [&](int i) { return weight == nullptr ? grad[i] : grad[i] * weight[i]; };
  const auto normal = [&](int i) { return (x[i] - of_row.mean) * of_row.inverse; };
  float sum_h = 0;
  float sum_hn = 0;
  for (int i = lane; i < count; i += 32) {
    sum_h += weighted(i);
    sum_hn = fmaf(weighted(i), normal(i), sum_hn);
  }
  const float mean_h = centred ? warp_sum(sum_h) / static_cast<float>(count) : 0.0F;
  const float mean_hn = warp_sum(sum_hn) / static_cast<float>(count);
  for (int i = lane; i < count; i += 32) dx[start + i] = of_row.inverse * (weighted(i) - mean_h - normal(i) * mean_hn);
}

struct Sums {
  float weight[warps][32];
  float bias[warps][32];
};

// 32 columns of a block of rows: dweight = sum of grad n, dbias = sum of grad. Each warp takes every eighth row, and
// the first adds up what they have.
__global__ void __launch_bounds__(threads)
    column_sums_kernel(const float* __restrict__ x, const float* __restrict__ grad, const Moments* __restrict__ of_rows,
                       int rows, int count, float* __restrict__ weight_sums, float* __restrict__ bias_sums) {
  auto& shared = *shared_memory<Sums>();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int column = static_cast<int>(blockIdx.y) * 32 + lane;
  const int begin = static_cast<int>(blockIdx.x) * block_rows;
  const int end = rows - begin < block_rows ? rows : begin + block_rows;
  float weight_sum = 0;
  float bias_sum = 0;
  for (int row = begin + warp; row < end && column < count; row += warps) {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * count + column;
    weight_sum = fmaf(grad[at], (x[at] - of_rows[row].mean) * of_rows[row].inverse, weight_sum);
    bias_sum += grad[at];
  }
  shared.weight[warp][lane] = weight_sum;
  shared.bias[warp][lane] = bias_sum;
  __syncthreads();
  if (warp > 0 || column >= count) return;
  for (int other = 1; other < warps; ++other) {
    weight_sum += shared.weight[other][lane];
    bias_sum += shared.bias[other][lane];
  }
  const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(blockIdx.x) * count + column;
  weight_sums[at] = weight_sum;
  bias_sums[at] = bias_sum;
}

__global__ void __launch_bounds__(threads)
    add_blocks_kernel(const float* __restrict__ weight_sums, const float* __restrict__ bias_sums, int blocks, int count,
                      float* __restrict__ dweight, float* __restrict__ dbias) {
  const int column = static_cast<int>(blockIdx.x) * threads + static_cast<int>(threadIdx.x);
  if (column >= count) return;
  float weight_sum = 0;
  float bias_sum = 0;
  for (int block = 0; block < blocks; ++block) {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(block) * count + column;
    weight_sum += weight_sums[at];
    bias_sum += bias_sums[at];
  }
  if (dweight != nullptr) dweight[column] = weight_sum;
  if (dbias != nullptr) dbias[column] = bias_sum;
}

unsigned blocks_of(int count, int size) {
  return static_cast<unsigned>(count / size + (count % size > 0 ? 1 : 0));
}

struct Extents {
  int rows, count;
};

template <typename T>
Extents checked(const cpu::NormInput<T>& input) {
  return {extent("norm", "rows", input.rows), extent("norm", "count", input.count)};
}

template <bool centred>
void forward(const cpu::NormInput<float>& input, float* y, Stream& stream) {
  const auto [rows, count] = checked(input);
  if (rows == 0 || count == 0) return;
  launch(forward_kernel<centred>, blocks_of(rows, warps), threads, 0, stream, input.x, input.weight, input.bias, rows,
         count, static_cast<float>(input.epsilon), y);
}

template <bool centred>
void backward(const cpu::NormInput<float>& input, const float* grad, const cpu::NormGradients<float>& gradients,
              float* scratch, Stream& stream) {
  const auto [rows, count] = checked(input);
  if (count == 0) return;
  auto* of_rows = reinterpret_cast<Moments*>(scratch);
  if (rows > 0)
    launch(backward_kernel<centred>, blocks_of(rows, warps), threads, 0, stream, input.x, input.weight, grad, rows,
           count, static_cast<float>(input.epsilon), gradients.x, of_rows);
  if (gradients.weight == nullptr && gradients.bias == nullptr) return;
  const unsigned blocks = blocks_of(rows, block_rows);
  float* weight_sums = scratch + 2 * std::ptrdiff_t{rows};
  float* bias_sums = weight_sums + std::ptrdiff_t{blocks} * count;
  if (rows > 0)
    launch(column_sums_kernel, dim3(blocks, blocks_of(count, 32)), threads, sizeof(Sums), stream, input.x, grad,
           of_rows, rows, count, weight_sums, bias_sums);
  launch(add_blocks_kernel, blocks_of(count, threads), threads, 0, stream, weight_sums, bias_sums,
         static_cast<int>(blocks), count, gradients.weight, gradients.bias);
}

}  // namespace

void layer_norm(const cpu::NormInput<float>& input, float* y, Stream& stream) {
  forward<true>(input, y, stream);
}

void rms_norm(const cpu::NormInput<float>& input, float* y, Stream& stream) {
  forward<false>(input, y, stream);
}

void layer_norm_backward(const cpu::NormInput<float>& input, const float* grad,
                         const cpu::NormGradients<float>& gradients, float* scratch, Stream& stream) {
  backward<true>(input, grad, gradients, scratch, stream);
}

void rms_norm_backward(const cpu::NormInput<float>& input, const float* grad,
                       const cpu::NormGradients<float>& gradients, float* scratch, Stream& stream) {
  backward<false>(input, grad, gradients, scratch, stream);
}

double norm_backward_traffic(std::int64_t all_rows, std::int64_t columns) {
  const int rows = extent("norm", "rows", all_rows), count = extent("norm", "count", columns);
  // Each warp leaves two sums of its rows; of the columns that are there the first reads the others'.
  const double written = 2.0 * threads * blocks_of(count, 32), read = 2.0 * (warps - 1) * count;
  return sizeof(float) * blocks_of(rows, block_rows) * (written + read);
}

std::int64_t norm_backward_scratch(std::int64_t rows, std::int64_t count) {
  return 2 * rows + 2 * ((rows + block_rows - 1) / block_rows) * count;
}

}  // namespace zoo::gpu
