#include "zoo/cpu/causal_conv.h"

#include <algorithm>

#include "zoo/core/parallel.h"
#include "zoo/core/pool.h"
#include "zoo/cpu/partition.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/causal_conv.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Outputs, or taps, that share their loads.
constexpr std::int64_t together = 4;

// Rows of two tensors [B, first, C] and [B, second, C] as one sequence: the state and the inputs behind it.
template <typename T>
struct Joined {
  T* first;
  T* second;
  std::int64_t first_length;
  std::int64_t second_length;
  std::int64_t channels;

  T* row(std::int64_t sequence, std::int64_t i) const {
    return i < first_length ? first + (sequence * first_length + i) * channels
                            : second + (sequence * second_length + i - first_length) * channels;
  }
};

template <typename T>
Joined<T> join(const CausalConvSizes& sizes, T* state, T* x) {
  return {state, x, sizes.kernel - 1, sizes.length, sizes.channels};
}

// weights [K,C]: taps outermost. Sequences [begin, end).
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void convolve(D d, const CausalConvSizes& sizes, const CausalConvInputs<T>& inputs, const T* weights, T* y,
                         std::int64_t begin, std::int64_t end) {
  const std::int64_t C = sizes.channels;
  const Joined<const T> padded = join(sizes, inputs.state, inputs.x);
  for (std::int64_t b = begin; b < end; ++b) {
    for (std::int64_t t = 0; t < sizes.length; t += together) {
      const std::int64_t count = std::min(together, sizes.length - t);
      for_vectors(d, C, [&](std::int64_t c, auto part) HWY_ATTR {
        const auto start = inputs.bias == nullptr ? hn::Zero(d) : part.load(d, inputs.bias + c);
        hn::Vec<D> sums[together] = {start, start, start, start};
        for (std::int64_t tap = 0; tap < sizes.kernel; ++tap) {
          const auto weight = part.load(d, weights + tap * C + c);
          for (std::int64_t i = 0; i < count; ++i) {
            sums[i] = hn::MulAdd(weight, part.load(d, padded.row(b, t + i + tap) + c), sums[i]);
          }
        }
        for (std::int64_t i = 0; i < count; ++i) part.store(sums[i], d, y + (b * sizes.length + t + i) * C + c);
      });
    }
  }
}

// The gradient of state and inputs: of input i, sum_tap weight[tap] dy[i - tap].
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void input_gradient(D d, const CausalConvSizes& sizes, const T* weights, const T* dy, const T* dstate,
                               const CausalConvGradients<T>& into, std::int64_t begin, std::int64_t end) {
  const std::int64_t C = sizes.channels, T_ = sizes.length, past = sizes.kernel - 1;
  const Joined<T> gradient = join(sizes, into.state, into.x);
  for (std::int64_t b = begin; b < end; ++b) {
    for (std::int64_t i = 0; i < past + T_; ++i) {
      const std::int64_t first_tap = std::max<std::int64_t>(0, i - T_ + 1);
      const std::int64_t last_tap = std::min(i, past);
      const T* kept = dstate != nullptr && i >= T_ ? dstate + (b * past + i - T_) * C : nullptr;
      for_vectors(d, C, [&](std::int64_t c, auto part) HWY_ATTR {
        auto sum = kept == nullptr ? hn::Zero(d) : part.load(d, kept + c);
        for (std::int64_t tap = first_tap; tap <= last_tap; ++tap) {
          sum = hn::MulAdd(part.load(d, weights + tap * C + c), part.load(d, dy + (b * T_ + i - tap) * C + c), sum);
        }
        part.store(sum, d, gradient.row(b, i) + c);
      });
    }
  }
}

// The gradients of weights [K,C] and bias, of a vector of channels at a time: summed along each sequence, and then over
// sequences, so that long sums lose little.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void weight_gradient(D d, const CausalConvSizes& sizes, const CausalConvInputs<T>& inputs, const T* dy,
                                T* weights, T* bias, std::int64_t begin, std::int64_t end) {
  const std::int64_t C = sizes.channels;
  const Joined<const T> padded = join(sizes, inputs.state, inputs.x);
  for_vectors(d, end - begin, [&](std::int64_t offset, auto part) HWY_ATTR {
    const std::int64_t c = begin + offset;
    for (std::int64_t tap = 0; weights != nullptr && tap < sizes.kernel; tap += together) {
      const std::int64_t count = std::min(together, sizes.kernel - tap);
      const auto zero = hn::Zero(d);
      hn::Vec<D> totals[together] = {zero, zero, zero, zero};
      for (std::int64_t b = 0; b < sizes.batch; ++b) {
        hn::Vec<D> sums[together] = {zero, zero, zero, zero};
        for (std::int64_t t = 0; t < sizes.length; ++t) {
          const auto gradient = part.load(d, dy + (b * sizes.length + t) * C + c);
          for (std::int64_t i = 0; i < count; ++i) {
            sums[i] = hn::MulAdd(gradient, part.load(d, padded.row(b, t + tap + i) + c), sums[i]);
          }
        }
        for (std::int64_t i = 0; i < count; ++i) totals[i] = hn::Add(totals[i], sums[i]);
      }
      for (std::int64_t i = 0; i < count; ++i) part.store(totals[i], d, weights + (tap + i) * C + c);
    }
    if (bias == nullptr) return;
    auto total = hn::Zero(d);
    for (std::int64_t b = 0; b < sizes.batch; ++b) {
      auto sum = hn::Zero(d);
      for (std::int64_t t = 0; t < sizes.length; ++t) {
        sum = hn::Add(sum, part.load(d, dy + (b * sizes.length + t) * C + c));
      }
      total = hn::Add(total, sum);
    }
    part.store(total, d, bias + c);
  });
}

// For the dispatch, which takes no templates.
void convolve_float(const CausalConvSizes& sizes, const CausalConvInputs<float>& inputs, const float* weights, float* y,
                    std::int64_t begin, std::int64_t end) {
  convolve(hn::ScalableTag<float>(), sizes, inputs, weights, y, begin, end);
}
void convolve_double(const CausalConvSizes& sizes, const CausalConvInputs<double>& inputs, const double* weights,
                     double* y, std::int64_t begin, std::int64_t end) {
  convolve(hn::ScalableTag<double>(), sizes, inputs, weights, y, begin, end);
}
void input_gradient_float(const CausalConvSizes& sizes, const float* weights, const float* dy, const float* dstate,
                          const CausalConvGradients<float>& into, std::int64_t begin, std::int64_t end) {
  input_gradient(hn::ScalableTag<float>(), sizes, weights, dy, dstate, into, begin, end);
}
void input_gradient_double(const CausalConvSizes& sizes, const double* weights, const double* dy, const double* dstate,
                           const CausalConvGradients<double>& into, std::int64_t begin, std::int64_t end) {
  input_gradient(hn::ScalableTag<double>(), sizes, weights, dy, dstate, into, begin, end);
}
void weight_gradient_float(const CausalConvSizes& sizes, const CausalConvInputs<float>& inputs, const float* dy,
                           float* weights, float* bias, std::int64_t begin, std::int64_t end) {
  weight_gradient(hn::ScalableTag<float>(), sizes, inputs, dy, weights, bias, begin, end);
}
void weight_gradient_double(const CausalConvSizes& sizes, const CausalConvInputs<double>& inputs, const double* dy,
                            double* weights, double* bias, std::int64_t begin, std::int64_t end) {
  weight_gradient(hn::ScalableTag<double>(), sizes, inputs, dy, weights, bias, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(convolve_float);
HWY_EXPORT(convolve_double);
HWY_EXPORT(input_gradient_float);
HWY_EXPORT(input_gradient_double);
HWY_EXPORT(weight_gradient_float);
HWY_EXPORT(weight_gradient_double);

namespace {

// [rows, columns] as [columns, rows].
template <typename T>
void swap_axes(std::int64_t rows, std::int64_t columns, const T* from, T* to) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
  }
}

// Taps outermost, so that channels lie along vectors.
template <typename T>
PoolVector<T> taps_first(const CausalConvSizes& sizes, const T* weight) {
  PoolVector<T> result(static_cast<std::size_t>(sizes.channels * sizes.kernel));
  swap_axes(sizes.channels, sizes.kernel, weight, result.data());
  return result;
}

template <typename T, typename Kernel>
void forward(const CausalConvSizes& sizes, const CausalConvInputs<T>& inputs, T* y, const Kernel& kernel) {
  const PoolVector<T> weights = taps_first(sizes, inputs.weight);
  for_rows(sizes.batch, sizes.length * sizes.channels * sizes.kernel,
           [&](std::int64_t begin, std::int64_t end) { kernel(sizes, inputs, weights.data(), y, begin, end); });
}

template <typename T, typename InputKernel, typename WeightKernel>
void backward(const CausalConvSizes& sizes, const CausalConvInputs<T>& inputs, const T* dy, const T* dstate,
              const CausalConvGradients<T>& into, const InputKernel& input_kernel, const WeightKernel& weight_kernel) {
  if (into.x != nullptr) {
    const PoolVector<T> weights = taps_first(sizes, inputs.weight);
    for_rows(sizes.batch, sizes.length * sizes.channels * sizes.kernel, [&](std::int64_t begin, std::int64_t end) {
      input_kernel(sizes, weights.data(), dy, dstate, into, begin, end);
    });
  }
  if (into.weight == nullptr && into.bias == nullptr) return;
  PoolVector<T> dweights(static_cast<std::size_t>(into.weight == nullptr ? 0 : sizes.channels * sizes.kernel));
  // Blocks of a cache line of channels.
  const std::int64_t block = 64 / static_cast<std::int64_t>(sizeof(T));
  const std::int64_t blocks = (sizes.channels + block - 1) / block;
  for_rows(blocks, sizes.batch * sizes.length * block * sizes.kernel, [&](std::int64_t begin, std::int64_t end) {
    weight_kernel(sizes, inputs, dy, into.weight == nullptr ? nullptr : dweights.data(), into.bias, begin * block,
                  std::min(end * block, sizes.channels));
  });
  if (into.weight != nullptr) swap_axes(sizes.kernel, sizes.channels, dweights.data(), into.weight);
}

}  // namespace

void causal_conv_forward(const CausalConvSizes& sizes, const CausalConvInputs<float>& inputs, float* y) {
  forward(sizes, inputs, y, HWY_DYNAMIC_DISPATCH(convolve_float));
}

void causal_conv_forward(const CausalConvSizes& sizes, const CausalConvInputs<double>& inputs, double* y) {
  forward(sizes, inputs, y, HWY_DYNAMIC_DISPATCH(convolve_double));
}

void causal_conv_backward(const CausalConvSizes& sizes, const CausalConvInputs<float>& inputs, const float* dy,
                          const float* dstate, const CausalConvGradients<float>& gradients) {
  backward(sizes, inputs, dy, dstate, gradients, HWY_DYNAMIC_DISPATCH(input_gradient_float),
           HWY_DYNAMIC_DISPATCH(weight_gradient_float));
}

void causal_conv_backward(const CausalConvSizes& sizes, const CausalConvInputs<double>& inputs, const double* dy,
                          const double* dstate, const CausalConvGradients<double>& gradients) {
  backward(sizes, inputs, dy, dstate, gradients, HWY_DYNAMIC_DISPATCH(input_gradient_double),
           HWY_DYNAMIC_DISPATCH(weight_gradient_double));
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
