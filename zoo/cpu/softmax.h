#pragma once

#include <cstdint>

/// Softmax over each of `rows` rows of `count` elements, for T float and double.
namespace zoo::cpu {

/// y = exp(x - max x) / sum of that. A row of -infinity alone gives NaN, as 0/0.
template <typename T>
void softmax(const T* x, std::int64_t rows, std::int64_t count, T* y);
/// result = y (grad - <grad, y>).
template <typename T>
void softmax_backward(const T* y, const T* grad, std::int64_t rows, std::int64_t count, T* result);

/// y = x - max x - log sum exp(x - max x).
template <typename T>
void log_softmax(const T* x, std::int64_t rows, std::int64_t count, T* y);
/// result = grad - exp(y) sum(grad).
template <typename T>
void log_softmax_backward(const T* y, const T* grad, std::int64_t rows, std::int64_t count, T* result);

/// The four for one instruction set.
template <typename T>
struct SoftmaxKernels {
  void (*softmax)(const T* x, std::int64_t rows, std::int64_t count, T* y);
  void (*softmax_backward)(const T* y, const T* grad, std::int64_t rows, std::int64_t count, T* result);
  void (*log_softmax)(const T* x, std::int64_t rows, std::int64_t count, T* y);
  void (*log_softmax_backward)(const T* y, const T* grad, std::int64_t rows, std::int64_t count, T* result);
};

}  // namespace zoo::cpu
