#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

#include "zoo/nn/layer.h"
#include "zoo/ops/families.h"

namespace zoo {

/// How deep a layer lies in its model: 0 for the first, 1 for the last, 0 if it is the only one.
inline double relative_depth(const Builder& builder) {
  return builder.n_layers > 1 ? static_cast<double>(builder.layer_index) / (builder.n_layers - 1) : 0;
}

/// RWKV-4's mix of each token with the one before (Peng et al. 2023, section 3.1.1): m x_t + (1 - m) x_{t-1}, with a
/// trained m [1,1,D] for each channel; a causal convolution of two taps. At first m = (i/D)^exponent + offset in
/// channel i.
class TokenMix {
 public:
  TokenMix() = default;
  TokenMix(Builder& builder, std::string_view name, double exponent, double offset = 0)
      : mix_(builder.parameter(name, {1, 1, builder.d_model()},
                               Initializer::custom([=](std::span<double> values, RandomStream&) {
                                 const auto channels = static_cast<double>(values.size());
                                 for (std::size_t i = 0; i < values.size(); ++i) {
                                   values[i] = std::pow(static_cast<double>(i) / channels, exponent) + offset;
                                 }
                               }))) {}

  /// x [B,T,D], with the token before it in x_prev [B,1,D].
  Tensor operator()(const Tensor& x, const Tensor& x_prev) const {
    const Tensor now = ops::reshape(mix_, {mix_.value().size(), 1});
    return ops::causal_conv(x, ops::concat({1.0 - now, now}, 1), {}, x_prev).y;
  }

  /// The exponent that a layer's mixes start from: 1 in the first layer, and falling with the depth.
  static double initial_exponent(const Builder& builder) {
    return 1 - static_cast<double>(builder.layer_index) / builder.n_layers;
  }

 private:
  Parameter mix_;
};

/// The last token of x [B,T,D], [B,1,D]: x_prev of the next chunk.
inline Tensor last_token(const Tensor& x) {
  return ops::slice(x, 1, x.dim(1) - 1, x.dim(1));
}

}  // namespace zoo
