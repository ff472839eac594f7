#include "zoo/gpu/causal_conv.h"
#include "zoo/gpu/elementwise_rules.h"
#include "zoo/gpu/extent.h"
#include "zoo/gpu/launch.h"

namespace zoo::gpu {

namespace {

constexpr int warps = 8;
constexpr int threads = warps * 32;
constexpr int steps = 8;        // that a thread computes in the forward pass
constexpr int block_rows = 64;  // inputs of a block of the backward pass
constexpr int sums_threads = 256;

// cpu::CausalConvSizes, checked, and the channels [first, first + count) that a launch computes.
struct Extents {
  int batch, length, channels, kernel;
  bool silu;
  int first, count;

  __host__ __device__ int past() const { return kernel - 1; }
  // Of the state and the inputs behind it.
  __host__ __device__ std::int64_t rows() const { return std::int64_t{length} + past(); }
};

// A channel of the state [B,K-1,C] and of x [B,T,C] as one sequence, in which step t's taps are the rows from t on.
template <typename T>
struct Joined {
  T* state;
  T* x;
  std::ptrdiff_t in_state;  // where the channel's first row is
  std::ptrdiff_t in_x;
  int past;
  int channels;

  __device__ Joined(const Extents& sizes, T* all_states, T* all_x, int sequence, int channel)
      : state(all_states),
        x(all_x),
        in_state(static_cast<std::ptrdiff_t>(sequence) * sizes.past() * sizes.channels + channel),
        in_x(static_cast<std::ptrdiff_t>(sequence) * sizes.length * sizes.channels + channel),
        past(sizes.past()),
        channels(sizes.channels) {}
  __device__ T& operator[](int row) const {
    return row < past ? state[in_state + static_cast<std::ptrdiff_t>(row) * channels]
                      : x[in_x + static_cast<std::ptrdiff_t>(row - past) * channels];
  }
};

// A warp's lanes have neighbouring channels of the part, its threads `steps` steps of one.
__global__ void __launch_bounds__(threads)
    forward_kernel(Extents sizes, const float* __restrict__ x, const float* __restrict__ weight,
                   const float* __restrict__ bias, const float* __restrict__ state, float* __restrict__ y) {
  const int blocks = (sizes.length - 1) / (warps * steps) + 1;
  const int sequence = static_cast<int>(blockIdx.x) / blocks;
  const int first = (static_cast<int>(blockIdx.x) % blocks * warps + static_cast<int>(threadIdx.x) / 32) * steps;
  const int own = static_cast<int>(blockIdx.y) * 32 + static_cast<int>(threadIdx.x) % 32;
  if (own >= sizes.count) return;
  const int channel = sizes.first + own;
  const Joined<const float> rows(sizes, state, x, sequence, channel);
  const float start = bias == nullptr ? 0.0F : bias[channel];
  float sums[steps];
  for (float& sum : sums) sum = start;
  for (int tap = 0; tap < sizes.kernel; ++tap) {
    const float by = weight[static_cast<std::ptrdiff_t>(channel) * sizes.kernel + tap];
    for (int i = 0; i < steps; ++i) {
      if (first + i < sizes.length) sums[i] = fmaf(by, rows[first + i + tap], sums[i]);
    }
  }
  for (int i = 0; i < steps; ++i) {
    if (first + i >= sizes.length) continue;
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(sequence) * sizes.length + first + i;
    y[row * sizes.count + own] = sizes.silu ? rules::Silu::value(sums[i]) : sums[i];
  }
}

// 32 channels of `block_rows` rows of state and inputs. Row i is tap j of step i - j: its gradient is
// sum_j weight_j g_{i-j}, with g the gradients of the sums, which the block keeps in shared memory from K-1 steps
// before its first row on. A warp has every eighth row, and then every eighth tap (bias behind them), whose gradient it
// adds up over the steps that the block's rows begin.
__global__ void __launch_bounds__(threads)
    backward_kernel(Extents sizes, const float* __restrict__ x, const float* __restrict__ weight,
                    const float* __restrict__ bias, const float* __restrict__ state, const float* __restrict__ dy,
                    const float* __restrict__ dnext, float* __restrict__ dx, float* __restrict__ dstate,
                    float* __restrict__ sums) {
  const int past = sizes.past();
  auto* given = shared_memory<float>();  // [past + block_rows][32]
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int blocks = static_cast<int>((sizes.rows() - 1) / block_rows + 1);
  const int sequence = static_cast<int>(blockIdx.x) / blocks;
  const int first = static_cast<int>(blockIdx.x) % blocks * block_rows;
  const int own = static_cast<int>(blockIdx.y) * 32 + lane;
  const bool inside = own < sizes.count;
  const int channel = sizes.first + own;
  const Joined<const float> rows(sizes, state, x, sequence, channel);
  const float* weights = weight + static_cast<std::ptrdiff_t>(channel) * sizes.kernel;

  for (int i = warp; i < past + block_rows; i += warps) {
    const int t = first - past + i;
    float gradient = 0;
    if (inside && t >= 0 && t < sizes.length) {
      gradient = dy[(static_cast<std::ptrdiff_t>(sequence) * sizes.length + t) * sizes.count + own];
      if (sizes.silu) {
        float sum = bias == nullptr ? 0.0F : bias[channel];
        for (int tap = 0; tap < sizes.kernel; ++tap) sum = fmaf(weights[tap], rows[t + tap], sum);
        gradient = rules::Silu::gradient(sum, gradient);
      }
    }
    given[i * 32 + lane] = gradient;
  }
  __syncthreads();
  if (!inside) return;

  const int end = static_cast<int>(min(sizes.rows() - first, std::int64_t{block_rows}));
  const Joined<float> gradients(sizes, dstate, dx, sequence, channel);
  for (int i = warp; i < end && dx != nullptr; i += warps) {
    const int row = first + i;
    float gradient = 0;
    if (dnext != nullptr && row >= sizes.length)
      gradient = dnext[(static_cast<std::ptrdiff_t>(sequence) * past + row - sizes.length) * sizes.channels + channel];
    for (int tap = 0; tap < sizes.kernel; ++tap)
      gradient = fmaf(weights[tap], given[(past + i - tap) * 32 + lane], gradient);
    gradients[row] = gradient;
  }
  for (int tap = warp; tap <= sizes.kernel; tap += warps) {
    float sum = 0;
    for (int i = 0; i < block_rows && first + i < sizes.length; ++i) {
      const float by = tap == sizes.kernel ? 1.0F : rows[first + i + tap];
      sum = fmaf(by, given[(past + i) * 32 + lane], sum);
    }
    sums[(static_cast<std::ptrdiff_t>(blockIdx.x) * (sizes.kernel + 1) + tap) * sizes.channels + channel] = sum;
  }
}

// sums [blocks][K+1][C].
__global__ void __launch_bounds__(sums_threads)
    add_blocks_kernel(const float* __restrict__ sums, int blocks, int kernel, int channels, float* __restrict__ dweight,
                      float* __restrict__ dbias) {
  const std::ptrdiff_t own = static_cast<std::ptrdiff_t>(blockIdx.x) * sums_threads + threadIdx.x;
  const std::ptrdiff_t count = (std::ptrdiff_t{kernel} + 1) * channels;
  if (own >= count) return;
  float sum = 0;
  for (int block = 0; block < blocks; ++block) sum += sums[block * count + own];
  const auto tap = static_cast<int>(own / channels);
  const auto channel = own % channels;
  if (tap < kernel && dweight != nullptr) dweight[channel * kernel + tap] = sum;
  if (tap == kernel && dbias != nullptr) dbias[channel] = sum;
}

Extents checked(const cpu::CausalConvSizes& sizes) {
  const Extents result = {.batch = extent("causal_conv", "batch", sizes.batch),
                          .length = extent("causal_conv", "length", sizes.length),
                          .channels = extent("causal_conv", "channels", sizes.channels),
                          .kernel = extent("causal_conv", "kernel", sizes.kernel, 1),
                          .silu = sizes.silu,
                          .first = 0,
                          .count = static_cast<int>(sizes.channels)};
  extent("causal_conv", "length + kernel - 1", result.rows());
  return result;
}

std::uint64_t channel_blocks(const Extents& sizes) {
  return (std::uint64_t{1} * sizes.count + 31) / 32;
}

std::uint64_t row_blocks(const Extents& sizes) {
  return sizes.batch * ((static_cast<std::uint64_t>(sizes.rows()) + block_rows - 1) / block_rows);
}

LaunchShape forward_shape(const Extents& sizes) {
  const std::uint64_t step_blocks = (std::uint64_t{1} * sizes.length + warps * steps - 1) / (warps * steps);
  return {.kernel = "causal_conv_forward",
          .blocks = sizes.batch * step_blocks * channel_blocks(sizes),
          .slices = static_cast<unsigned>(channel_blocks(sizes)),
          .threads = threads,
          .shared_bytes = 0};
}

LaunchShape backward_shape(const Extents& sizes) {
  const Device& limits = device();
  const std::size_t rows = std::size_t{block_rows} + static_cast<std::size_t>(sizes.past());
  const LaunchShape shape = {.kernel = "causal_conv_backward",
                             .blocks = row_blocks(sizes) * channel_blocks(sizes),
                             .slices = static_cast<unsigned>(channel_blocks(sizes)),
                             .threads = threads,
                             .shared_bytes = rows * 32 * sizeof(float)};
  if (shape.shared_bytes > limits.shared_bytes_per_block)
    throw Error("causal_conv_backward on {}: kernel is {}; it can be at most {} by the shared memory of a block",
                limits.name, sizes.kernel, limits.shared_bytes_per_block / (32 * sizeof(float)) - block_rows + 1);
  return shape;
}

// Calls body(extents of the part, part) for each part that has channels.
template <typename T, typename Body>
void for_parts(Extents sizes, std::span<const cpu::CausalConvPart<T>> parts, const Body& body) {
  std::int64_t all = 0;
  for (const cpu::CausalConvPart<T>& part : parts) all += extent("causal_conv", "channels of a part", part.channels);
  if (all != sizes.channels)
    throw Error("causal_conv on the GPU: the parts have {} channels; they must be the {} of x together", all,
                sizes.channels);
  sizes.count = 0;
  for (const cpu::CausalConvPart<T>& part : parts) {
    sizes.first += sizes.count;
    sizes.count = static_cast<int>(part.channels);
    if (sizes.count > 0) body(sizes, part);
  }
}

}  // namespace

void causal_conv_forward(const cpu::CausalConvSizes& sizes, const cpu::CausalConvInputs<float>& inputs,
                         std::span<const cpu::CausalConvPart<float>> y, Stream& stream) {
  for_parts(checked(sizes), y, [&](const Extents& extents, const cpu::CausalConvPart<float>& part) {
    launch_shape(forward_kernel, forward_shape(extents), stream, extents, inputs.x, inputs.weight, inputs.bias,
                 inputs.state, part.y);
  });
}

void causal_conv_backward(const cpu::CausalConvSizes& sizes, const cpu::CausalConvInputs<float>& inputs,
                          std::span<const cpu::CausalConvPart<const float>> dy, const float* dstate,
                          const cpu::CausalConvGradients<float>& gradients, float* scratch, Stream& stream) {
  const Extents whole = checked(sizes);
  for_parts(whole, dy, [&](const Extents& extents, const cpu::CausalConvPart<const float>& part) {
    launch_shape(backward_kernel, backward_shape(extents), stream, extents, inputs.x, inputs.weight, inputs.bias,
                 inputs.state, part.y, dstate, gradients.x, gradients.state, scratch);
  });
  if (gradients.weight == nullptr && gradients.bias == nullptr) return;
  const LaunchShape shape = {
      .kernel = "causal_conv_add_blocks",
      .blocks = ((std::uint64_t{1} * whole.kernel + 1) * whole.channels + sums_threads - 1) / sums_threads,
      .threads = sums_threads,
      .shared_bytes = 0};
  launch_shape(add_blocks_kernel, shape, stream, scratch, static_cast<int>(row_blocks(whole)), whole.kernel,
               whole.channels, gradients.weight, gradients.bias);
}

std::int64_t causal_conv_backward_scratch(const cpu::CausalConvSizes& sizes) {
  return static_cast<std::int64_t>(row_blocks(checked(sizes))) * (sizes.kernel + 1) * sizes.channels;
}

double causal_conv_backward_traffic(const cpu::CausalConvSizes& sizes, std::span<const std::int64_t> widths,
                                    bool inputs) {
  Extents extents = checked(sizes);
  const double taps = extents.kernel, past = extents.past();
  double floats = 0;
  for (const std::int64_t width : widths) {
    extents.count = static_cast<int>(width);
    // Every lane writes its gradients of a block's steps; of each channel that is there each row of inputs reads a
    // tap's steps, and each tap, and the bias, all steps.
    floats += static_cast<double>(row_blocks(extents) * channel_blocks(extents)) * (past + block_rows) * 32;
    const double reads = (inputs ? static_cast<double>(extents.rows()) * taps : 0) + extents.length * (taps + 1);
    floats += static_cast<double>(extents.batch) * extents.count * reads;
  }
  return sizeof(float) * floats;
}

LaunchShape causal_conv_backward_kernel(const cpu::CausalConvSizes& sizes) {
  return backward_shape(checked(sizes));
}

}  // namespace zoo::gpu
