#pragma once

#include <cstdint>

namespace zoo::cpu {

/// One step's factors of AdamW, the same for every element of a parameter.
struct AdamWFactors {
  float beta1;
  float beta2;
  float shrink;        ///< 1 - learning rate * weight decay
  float step;          ///< learning rate / (1 - beta1^t)
  float inverse_root;  ///< 1 / sqrt(1 - beta2^t)
  float epsilon;
  float gradient_scale;  ///< for clipping
};

/// Updates values, first and second moments in one pass over `count` elements.
void adamw(const AdamWFactors& factors, const float* gradient, float* value, float* moment1, float* moment2,
           std::int64_t count);

/// Sum of squares, in double, in a fixed order.
double sum_of_squares(const float* values, std::int64_t count);

}  // namespace zoo::cpu
