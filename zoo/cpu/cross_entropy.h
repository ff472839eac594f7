#pragma once

#include <cstdint>

namespace zoo::cpu {

/// What to compute of logits [rows, vocab] with labels [rows]; each pointer may be nullptr when it is not wanted.
template <typename T>
struct CrossEntropyRows {
  const T* logits;
  const std::int32_t* labels;
  std::int64_t rows;
  std::int64_t vocab;
  double* losses = nullptr;         ///< [rows]: log sum exp(logits) - logits[label]
  T* gradient = nullptr;            ///< [rows, vocab]: factor * (softmax - one-hot); may be the logits themselves
  double factor = 1;                ///< of the gradient
  std::int32_t* largest = nullptr;  ///< [rows]: the (first) index of the largest logit
};

void cross_entropy(const CrossEntropyRows<float>& task);
void cross_entropy(const CrossEntropyRows<double>& task);

}  // namespace zoo::cpu
