#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "zoo/nn/layer.h"
#include "zoo/ops/ops.h"

namespace zoo {

/// A projection x W^T (+ b), its parameters `name`.weight [out, in] and, where there is one, `name`.bias [out] (0 at
/// first).
class Linear {
 public:
  struct Settings {
    bool bias = false;
    Initializer weight = Initializer::linear_weight();
  };

  Linear() = default;
  Linear(Builder& builder, std::string_view name, std::int64_t in, std::int64_t out)
      : Linear(builder, name, in, out, Settings{}) {}
  Linear(Builder& builder, std::string_view name, std::int64_t in, std::int64_t out, Settings settings)
      : weight_(builder.parameter(std::string(name) + ".weight", {out, in}, std::move(settings.weight))) {
    if (settings.bias) bias_ = builder.parameter(std::string(name) + ".bias", {out}, Initializer::constant(0));
  }

  Tensor operator()(const Tensor& x) const {
    return ops::linear(x, weight_, bias_.defined() ? bias_.value() : Tensor{});
  }

  /// The dtype of the trained values.
  DType dtype() const { return weight_.value().dtype(); }

 private:
  Parameter weight_;
  Parameter bias_;
};

}  // namespace zoo
