#pragma once

#include <cstdint>

/// Normalisation of each of `rows` rows of `count` elements, for T float and double.
namespace zoo::cpu {

/// What both norms take; weight and bias [count] may be nullptr. Root mean square norms have no bias.
template <typename T>
struct NormInput {
  const T* x;
  const T* weight;
  const T* bias;
  std::int64_t rows;
  std::int64_t count;
  double epsilon;
};

/// Where the gradients go; nullptr where one is not needed.
template <typename T>
struct NormGradients {
  T* x;
  T* weight;
  T* bias;
};

/// y = (x - mean) / sqrt(variance + epsilon) * weight + bias.
template <typename T>
void layer_norm(const NormInput<T>& input, T* y);
/// Those of weight and bias are added up over blocks of rows of a fixed size, and the blocks in order.
template <typename T>
void layer_norm_backward(const NormInput<T>& input, const T* grad, const NormGradients<T>& gradients);

/// y = x / sqrt(mean of x^2 + epsilon) * weight.
template <typename T>
void rms_norm(const NormInput<T>& input, T* y);
template <typename T>
void rms_norm_backward(const NormInput<T>& input, const T* grad, const NormGradients<T>& gradients);

/// The four for one instruction set, on the rows [begin, end). Backward writes the gradients of x, and adds those of
/// weight and bias to gradients.weight and gradients.bias.
template <typename T>
struct NormKernels {
  using Forward = void (*)(const NormInput<T>& input, std::int64_t begin, std::int64_t end, T* y);
  using Backward = void (*)(const NormInput<T>& input, std::int64_t begin, std::int64_t end, const T* grad,
                            const NormGradients<T>& gradients);
  Forward layer_norm;
  Forward rms_norm;
  Backward layer_norm_backward;
  Backward rms_norm_backward;
};

}  // namespace zoo::cpu
