#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "zoo/nn/layer.h"
#include "zoo/ops/ops.h"

namespace zoo {

/// LayerNorm over the last axis, with trained weight (1 at first) and bias (0 at first).
class LayerNorm {
 public:
  LayerNorm(Builder& builder, std::string_view name, double epsilon)
      : weight_(builder.parameter(std::string(name) + ".weight", {builder.d_model()}, Initializer::constant(1))),
        bias_(builder.parameter(std::string(name) + ".bias", {builder.d_model()}, Initializer::constant(0))),
        epsilon_(epsilon) {}

  Tensor operator()(const Tensor& x) const { return ops::layer_norm(x, weight_, bias_, epsilon_); }

 private:
  Parameter weight_;
  Parameter bias_;
  double epsilon_ = 0;
};

/// RMSNorm over the last axis (Zhang and Sennrich 2019), with a trained weight (1 at first).
class RmsNorm {
 public:
  RmsNorm() = default;
  RmsNorm(Builder& builder, std::string_view name, double epsilon)
      : RmsNorm(builder, name, builder.d_model(), epsilon) {}
  RmsNorm(Builder& builder, std::string_view name, std::int64_t width, double epsilon)
      : weight_(builder.parameter(std::string(name) + ".weight", {width}, Initializer::constant(1))),
        epsilon_(epsilon) {}

  Tensor operator()(const Tensor& x) const { return ops::rms_norm(x, weight_, epsilon_); }

 private:
  Parameter weight_;
  double epsilon_ = 0;
};

/// x * length / sqrt(sum x^2 + epsilon) over the last axis: vectors of (nearly) that length.
inline Tensor with_length(const Tensor& x, double length, double epsilon) {
  const auto width = static_cast<double>(x.dim(-1));
  return ops::rms_norm(x, Tensor::full({x.dim(-1)}, length / std::sqrt(width), x.dtype()), epsilon / width);
}

}  // namespace zoo
