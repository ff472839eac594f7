#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "zoo/nn/layer.h"
#include "zoo/ops/families.h"

namespace zoo {

/// A causal depthwise convolution over the channels of x [B,T,C], its parameters `name`.weight [C,1,K] (the last tap
/// meets the current token) and, where there is one, `name`.bias [C], both U(-1/sqrt(K), 1/sqrt(K)) at first, as
/// PyTorch's Conv1d. Its last K-1 inputs are a tensor [B,K-1,C] of the layer's state.
class ShortConv {
 public:
  struct Settings {
    bool bias = true;
    std::optional<Initializer> weight = {};  ///< instead of PyTorch's
  };

  ShortConv() = default;
  ShortConv(Builder& builder, std::string_view name, std::int64_t channels, std::int64_t kernel)
      : ShortConv(builder, name, channels, kernel, Settings{}) {}
  ShortConv(Builder& builder, std::string_view name, std::int64_t channels, std::int64_t kernel,
            const Settings& settings)
      : name_(name), channels_(channels), kernel_(kernel) {
    const Initializer initializer = Initializer::uniform(1 / std::sqrt(static_cast<double>(kernel)));
    weight_ = builder.parameter(name_ + ".weight", {channels, 1, kernel}, settings.weight.value_or(initializer));
    if (settings.bias) bias_ = builder.parameter(name_ + ".bias", {channels}, initializer);
  }

  /// Zeros before the first token, into `state` under the convolution's name.
  void start(State& state, std::int64_t batch) const {
    state.set(name_, Tensor::zeros({batch, kernel_ - 1, channels_}, weight_.value().dtype()));
  }

  /// y_t = bias + sum_j weight[:, K-1-j] x_{t-j}; advances the state.
  Tensor operator()(const Tensor& x, State& state) const {
    const ops::Convolution result = ops::causal_conv(x, weight(), bias(), state.get(name_));
    state.set(name_, result.state);
    return result.y;
  }

  /// silu(y_t), which costs little more than y_t.
  Tensor silu(const Tensor& x, State& state) const { return silu(x, state, {channels_})[0]; }
  /// The same in parts of these widths, which together are the channels.
  Tensors silu(const Tensor& x, State& state, std::initializer_list<std::int64_t> widths) const {
    ops::SplitConvolution result = ops::silu_causal_conv(x, weight(), bias(), state.get(name_), widths);
    state.set(name_, result.state);
    return std::move(result.y);
  }

 private:
  Tensor weight() const { return ops::reshape(weight_, {channels_, kernel_}); }
  Tensor bias() const { return bias_.defined() ? bias_.value() : Tensor{}; }

  std::string name_;
  std::int64_t channels_ = 0;
  std::int64_t kernel_ = 1;
  Parameter weight_;
  Parameter bias_;
};

}  // namespace zoo
