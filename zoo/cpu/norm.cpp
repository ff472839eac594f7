#include "zoo/cpu/norm.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "zoo/core/pool.h"
#include "zoo/cpu/partition.h"
#include "zoo/cpu/reductions.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/norm.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

// A row is read several times, from the first-level cache after the first: memory is read once.

/// What normalises a row: (x - shift) * factor.
template <typename T>
struct RowMoments {
  T shift;
  T factor;
};

template <typename T, class Term>
HWY_INLINE T mean_of(std::int64_t count, const Term& term) {
  const hn::ScalableTag<T> d;
  auto sum = hn::Zero(d);
  for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR { sum = hn::Add(sum, part.masked(d, term(i, part))); });
  return hn::GetLane(hn::SumOfLanes(d, sum)) / static_cast<T>(count);
}

template <bool centred, typename T>
HWY_INLINE RowMoments<T> moments(const T* x, std::int64_t count, double epsilon) {
  const hn::ScalableTag<T> d;
  const T mean =
      centred ? mean_of<T>(count, [&](std::int64_t i, auto part) HWY_ATTR { return part.load(d, x + i); }) : T{0};
  const auto shift = hn::Set(d, mean);
  const T variance = mean_of<T>(count, [&](std::int64_t i, auto part) HWY_ATTR {
    const auto centred_x = hn::Sub(part.load(d, x + i), shift);
    return hn::Mul(centred_x, centred_x);
  });
  return {mean, T{1} / std::sqrt(variance + static_cast<T>(epsilon))};
}

template <bool centred, typename T>
void norm_rows(const NormInput<T>& input, std::int64_t begin, std::int64_t end, T* y) {
  const hn::ScalableTag<T> d;
  const std::int64_t count = input.count;
  for (std::int64_t row = begin; row < end; ++row) {
    const T* x = input.x + row * count;
    T* out = y + row * count;
    const auto [mean, inverse] = moments<centred>(x, count, input.epsilon);
    const auto shift = hn::Set(d, mean);
    const auto factor = hn::Set(d, inverse);
    for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
      auto value = hn::Mul(hn::Sub(part.load(d, x + i), shift), factor);
      if (input.weight != nullptr) value = hn::Mul(value, part.load(d, input.weight + i));
      if (input.bias != nullptr) value = hn::Add(value, part.load(d, input.bias + i));
      part.store(value, d, out + i);
    });
  }
}

// With n = (x - mean) r and h = grad * weight: dx = r (h - mean(h) - n mean(h n)), without mean(h) where the norm does
// not centre; dweight = sum of grad n, dbias = sum of grad.
template <bool centred, typename T>
void norm_backward_rows(const NormInput<T>& input, std::int64_t begin, std::int64_t end, const T* grad,
                        const NormGradients<T>& gradients) {
  const hn::ScalableTag<T> d;
  const std::int64_t count = input.count;
  const T* weight = input.weight;
  for (std::int64_t row = begin; row < end; ++row) {
    const T* x = input.x + row * count;
    const T* g = grad + row * count;
    const auto [mean, inverse] = moments<centred>(x, count, input.epsilon);
    const auto shift = hn::Set(d, mean);
    const auto factor = hn::Set(d, inverse);
    auto sum_h = hn::Zero(d);
    auto sum_hn = hn::Zero(d);
    for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
      const auto normal = hn::Mul(hn::Sub(part.load(d, x + i), shift), factor);
      const auto gradient = part.load(d, g + i);
      if (gradients.weight != nullptr) {
        T* total = gradients.weight + i;
        part.store(hn::MulAdd(gradient, normal, part.load(d, total)), d, total);
      }
      if (gradients.bias != nullptr) {
        T* total = gradients.bias + i;
        part.store(hn::Add(gradient, part.load(d, total)), d, total);
      }
      const auto h = weight == nullptr ? gradient : hn::Mul(gradient, part.load(d, weight + i));
      sum_h = hn::Add(sum_h, h);
      sum_hn = hn::MulAdd(h, normal, sum_hn);  // h is 0 beyond the end
    });
    if (gradients.x == nullptr) continue;
    T* out = gradients.x + row * count;
    const auto share = hn::Set(d, T{1} / static_cast<T>(count));
    const auto mean_h = centred ? hn::Mul(hn::SumOfLanes(d, sum_h), share) : hn::Zero(d);
    const auto mean_hn = hn::Mul(hn::SumOfLanes(d, sum_hn), share);
    for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
      const auto normal = hn::Mul(hn::Sub(part.load(d, x + i), shift), factor);
      const auto gradient = part.load(d, g + i);
      const auto h = weight == nullptr ? gradient : hn::Mul(gradient, part.load(d, weight + i));
      part.store(hn::Mul(factor, hn::NegMulAdd(normal, mean_hn, hn::Sub(h, mean_h))), d, out + i);
    });
  }
}

template <typename T>
NormKernels<T> norm_kernels() {
  return {norm_rows<true, T>, norm_rows<false, T>, norm_backward_rows<true, T>, norm_backward_rows<false, T>};
}

NormKernels<float> norm_kernels_f32() {
  return norm_kernels<float>();
}

NormKernels<double> norm_kernels_f64() {
  return norm_kernels<double>();
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(norm_kernels_f32);
HWY_EXPORT(norm_kernels_f64);

namespace {

// Rows whose contributions to the gradients of weight and bias are added up together.
constexpr std::int64_t block_rows = 128;

template <typename T>
NormKernels<T> kernels() {
  if constexpr (std::is_same_v<T, float>) {
    return HWY_DYNAMIC_DISPATCH(norm_kernels_f32)();
  } else {
    return HWY_DYNAMIC_DISPATCH(norm_kernels_f64)();
  }
}

template <typename T>
void forward(typename NormKernels<T>::Forward kernel, const NormInput<T>& input, T* y) {
  for_rows(input.rows, input.count, [&](std::int64_t begin, std::int64_t end) { kernel(input, begin, end, y); });
}

template <typename T>
void backward(typename NormKernels<T>::Backward kernel, const NormInput<T>& input, const T* grad,
              const NormGradients<T>& gradients) {
  const auto [rows, count] = std::pair{input.rows, input.count};
  const std::int64_t blocks = (rows + block_rows - 1) / block_rows;
  // Each block's sums for weight, then those for bias.
  PoolVector<T> sums(static_cast<std::size_t>(2 * blocks * count));
  T* weight_sums = sums.data();
  T* bias_sums = weight_sums + blocks * count;
  for_rows(blocks, block_rows * count, [&, rows = rows, count = count](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      kernel(input, block * block_rows, std::min((block + 1) * block_rows, rows), grad,
             {.x = gradients.x,
              .weight = gradients.weight == nullptr ? nullptr : weight_sums + block * count,
              .bias = gradients.bias == nullptr ? nullptr : bias_sums + block * count});
    }
  });
  const AxisExtents over_blocks{1, blocks, count};
  if (gradients.weight != nullptr) sum(over_blocks, weight_sums, gradients.weight);
  if (gradients.bias != nullptr) sum(over_blocks, bias_sums, gradients.bias);
}

}  // namespace

template <typename T>
void layer_norm(const NormInput<T>& input, T* y) {
  forward(kernels<T>().layer_norm, input, y);
}

template <typename T>
void layer_norm_backward(const NormInput<T>& input, const T* grad, const NormGradients<T>& gradients) {
  backward(kernels<T>().layer_norm_backward, input, grad, gradients);
}

template <typename T>
void rms_norm(const NormInput<T>& input, T* y) {
  forward(kernels<T>().rms_norm, input, y);
}

template <typename T>
void rms_norm_backward(const NormInput<T>& input, const T* grad, const NormGradients<T>& gradients) {
  backward(kernels<T>().rms_norm_backward, input, grad, gradients);
}

template void layer_norm(const NormInput<float>&, float*);
template void layer_norm(const NormInput<double>&, double*);
template void layer_norm_backward(const NormInput<float>&, const float*, const NormGradients<float>&);
template void layer_norm_backward(const NormInput<double>&, const double*, const NormGradients<double>&);
template void rms_norm(const NormInput<float>&, float*);
template void rms_norm(const NormInput<double>&, double*);
template void rms_norm_backward(const NormInput<float>&, const float*, const NormGradients<float>&);
template void rms_norm_backward(const NormInput<double>&, const double*, const NormGradients<double>&);

}  // namespace zoo::cpu

#endif  // HWY_ONCE
