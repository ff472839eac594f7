#pragma once

#include <cmath>
#include <cstdint>

#include "zoo/nn/layer.h"
#include "zoo/ops/recurrent_cell.h"

namespace zoo {

/// The parameters of a recurrent network with `gates` gates and as many hidden units as d_model, named and drawn as in
/// PyTorch: `weight_ih_l0 weight_hh_l0 bias_ih_l0 bias_hh_l0`, all U(-1/sqrt(d_model), 1/sqrt(d_model)).
class RecurrentWeights {
 public:
  RecurrentWeights(Builder& builder, std::int64_t gates) : width_(builder.d_model()) {
    const Initializer initializer = Initializer::uniform(1 / std::sqrt(static_cast<double>(width_)));
    input_weight_ = builder.parameter("weight_ih_l0", {gates * width_, width_}, initializer);
    hidden_weight_ = builder.parameter("weight_hh_l0", {gates * width_, width_}, initializer);
    input_bias_ = builder.parameter("bias_ih_l0", {gates * width_}, initializer);
    hidden_bias_ = builder.parameter("bias_hh_l0", {gates * width_}, initializer);
  }

  /// W_ih x + b_ih of all steps: [B,T,gates*D].
  Tensor project(const Tensor& x) const { return ops::linear(x, input_weight_, input_bias_); }
  const Tensor& hidden_weight() const { return hidden_weight_.value(); }
  const Tensor& hidden_bias() const { return hidden_bias_.value(); }
  /// A state before the first token.
  Tensor zeros(std::int64_t batch) const { return Tensor::zeros({batch, width_}, hidden_bias().dtype()); }

 private:
  std::int64_t width_;
  Parameter input_weight_;
  Parameter hidden_weight_;
  Parameter input_bias_;
  Parameter hidden_bias_;
};

}  // namespace zoo
