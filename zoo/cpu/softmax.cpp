#include "zoo/cpu/softmax.h"

#include <limits>
#include <type_traits>

#include "zoo/cpu/partition.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/softmax.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/vector_loop-inl.h"
#include "zoo/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

// Rows are short enough for a core's cache, so several passes over one cost little: only the first reads memory.

template <typename T>
HWY_INLINE T largest(const T* x, std::int64_t count) {
  const hn::ScalableTag<T> d;
  const auto lowest = hn::Set(d, -std::numeric_limits<T>::infinity());
  auto best = lowest;
  for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
    best = hn::Max(best, part.masked(d, part.load(d, x + i), lowest));
  });
  return hn::GetLane(hn::MaxOfLanes(d, best));
}

// Sum of exp(x - shift), each of which `keep` is given.
template <typename T, class Keep>
HWY_INLINE T sum_of_exponentials(const T* x, std::int64_t count, T shift, const Keep& keep) {
  const hn::ScalableTag<T> d;
  const auto by = hn::Set(d, shift);
  auto sum = hn::Zero(d);
  for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
    const auto value = math::Exp(d, hn::Sub(part.load(d, x + i), by));
    keep(i, part, value);
    sum = hn::Add(sum, part.masked(d, value));
  });
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

template <typename T>
void softmax_rows(const T* x, std::int64_t rows, std::int64_t count, T* y) {
  const hn::ScalableTag<T> d;
  for (std::int64_t row = 0; row < rows; ++row, x += count, y += count) {
    const T sum = sum_of_exponentials(x, count, largest(x, count), [&](std::int64_t i, auto part, auto value) HWY_ATTR {
      part.store(value, d, y + i);
    });
    const auto factor = hn::Set(d, T{1} / sum);
    for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
      part.store(hn::Mul(part.load(d, y + i), factor), d, y + i);
    });
  }
}

template <typename T>
void softmax_backward_rows(const T* y, const T* grad, std::int64_t rows, std::int64_t count, T* result) {
  const hn::ScalableTag<T> d;
  for (std::int64_t row = 0; row < rows; ++row, y += count, grad += count, result += count) {
    auto sum = hn::Zero(d);
    for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
      sum = hn::MulAdd(part.load(d, y + i), part.load(d, grad + i), sum);
    });
    const auto mean = hn::SumOfLanes(d, sum);
    for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
      part.store(hn::Mul(part.load(d, y + i), hn::Sub(part.load(d, grad + i), mean)), d, result + i);
    });
  }
}

template <typename T>
void log_softmax_rows(const T* x, std::int64_t rows, std::int64_t count, T* y) {
  const hn::ScalableTag<T> d;
  for (std::int64_t row = 0; row < rows; ++row, x += count, y += count) {
    const T best = largest(x, count);
    const T sum = sum_of_exponentials(x, count, best, [](std::int64_t, auto, auto) {});
    const auto shift = hn::Set(d, best);
    const auto log_sum = math::Log(d, hn::Set(d, sum));
    for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
      part.store(hn::Sub(hn::Sub(part.load(d, x + i), shift), log_sum), d, y + i);
    });
  }
}

template <typename T>
void log_softmax_backward_rows(const T* y, const T* grad, std::int64_t rows, std::int64_t count, T* result) {
  const hn::ScalableTag<T> d;
  for (std::int64_t row = 0; row < rows; ++row, y += count, grad += count, result += count) {
    auto total = hn::Zero(d);
    for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR { total = hn::Add(total, part.load(d, grad + i)); });
    const auto sum = hn::SumOfLanes(d, total);
    for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
      const auto probability = math::Exp(d, part.load(d, y + i));
      part.store(hn::NegMulAdd(probability, sum, part.load(d, grad + i)), d, result + i);
    });
  }
}

SoftmaxKernels<float> softmax_kernels_f32() {
  return {softmax_rows, softmax_backward_rows, log_softmax_rows, log_softmax_backward_rows};
}

SoftmaxKernels<double> softmax_kernels_f64() {
  return {softmax_rows, softmax_backward_rows, log_softmax_rows, log_softmax_backward_rows};
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(softmax_kernels_f32);
HWY_EXPORT(softmax_kernels_f64);

namespace {

template <typename T>
SoftmaxKernels<T> kernels() {
  if constexpr (std::is_same_v<T, float>) {
    return HWY_DYNAMIC_DISPATCH(softmax_kernels_f32)();
  } else {
    return HWY_DYNAMIC_DISPATCH(softmax_kernels_f64)();
  }
}

// Calls body(first element, rows) on parts of the rows. An exponential costs as much as a few loads.
template <typename Body>
void for_softmax_rows(std::int64_t rows, std::int64_t count, const Body& body) {
  for_rows(rows, count * 4, [&](std::int64_t begin, std::int64_t end) { body(begin * count, end - begin); });
}

}  // namespace

template <typename T>
void softmax(const T* x, std::int64_t rows, std::int64_t count, T* y) {
  const auto kernel = kernels<T>().softmax;
  for_softmax_rows(rows, count, [=](std::int64_t at, std::int64_t part) { kernel(x + at, part, count, y + at); });
}

template <typename T>
void softmax_backward(const T* y, const T* grad, std::int64_t rows, std::int64_t count, T* result) {
  const auto kernel = kernels<T>().softmax_backward;
  for_softmax_rows(rows, count,
                   [=](std::int64_t at, std::int64_t part) { kernel(y + at, grad + at, part, count, result + at); });
}

template <typename T>
void log_softmax(const T* x, std::int64_t rows, std::int64_t count, T* y) {
  const auto kernel = kernels<T>().log_softmax;
  for_softmax_rows(rows, count, [=](std::int64_t at, std::int64_t part) { kernel(x + at, part, count, y + at); });
}

template <typename T>
void log_softmax_backward(const T* y, const T* grad, std::int64_t rows, std::int64_t count, T* result) {
  const auto kernel = kernels<T>().log_softmax_backward;
  for_softmax_rows(rows, count,
                   [=](std::int64_t at, std::int64_t part) { kernel(y + at, grad + at, part, count, result + at); });
}

template void softmax(const float*, std::int64_t, std::int64_t, float*);
template void softmax(const double*, std::int64_t, std::int64_t, double*);
template void softmax_backward(const float*, const float*, std::int64_t, std::int64_t, float*);
template void softmax_backward(const double*, const double*, std::int64_t, std::int64_t, double*);
template void log_softmax(const float*, std::int64_t, std::int64_t, float*);
template void log_softmax(const double*, std::int64_t, std::int64_t, double*);
template void log_softmax_backward(const float*, const float*, std::int64_t, std::int64_t, float*);
template void log_softmax_backward(const double*, const double*, std::int64_t, std::int64_t, double*);

}  // namespace zoo::cpu

#endif  // HWY_ONCE
