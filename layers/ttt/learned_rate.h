#pragma once

#include <algorithm>
#include <cstdint>

#include "zoo/core/tabulate.h"
#include "zoo/nn/layer.h"
#include "zoo/ops/ops.h"

namespace zoo::ttt {

/// The inner learning rate that a token chooses for itself (section 2.7 of the paper),
///
///     eta_t = base_lr sigmoid(w_h . x_t + c_h) / d     for each head h of width d.
class LearnedRate {
 public:
  LearnedRate() = default;
  /// With `warm_up`, base_lr rises to its value from a tenth of it over the first tenth of training.
  LearnedRate(Builder& builder, std::int64_t heads, double base_lr, bool warm_up)
      : heads_(heads),
        base_lr_(base_lr),
        warm_up_(warm_up),
        weight_(builder.parameter("learnable_ttt_lr_weight", {heads, 1, builder.d_model()}, Initializer::normal(0.02))),
        bias_(builder.parameter("learnable_ttt_lr_bias", {heads, 1}, Initializer::constant(0))) {}

  /// eta [B,T,H] of x [B,T,D].
  Tensor operator()(const Tensor& x, const Context& context) const {
    const std::int64_t D = x.dim(-1), d = D / heads_;
    const Tensor logits = ops::linear(x, ops::reshape(weight_, {heads_, D}), ops::reshape(bias_, {heads_}));
    return ops::scale(ops::sigmoid(logits), base_lr_ * warmth(context) / static_cast<double>(d));
  }

 private:
  double warmth(const Context& context) const {
    return warm_up_ && context.training ? std::min(1.0, 0.1 + 9 * context.progress) : 1;
  }

  std::int64_t heads_ = 1;
  double base_lr_ = 1;
  bool warm_up_ = false;
  Parameter weight_;
  Parameter bias_;
};

/// What scales the sum of a mini-batch's gradients when its token i is read: max(0, 1/(i+1) + learnable_i).
class TokenScale {
 public:
  TokenScale() = default;
  TokenScale(Builder& builder, std::int64_t mini_batch)
      : learnable_(builder.parameter("learnable_token_idx", {mini_batch}, Initializer::constant(0))) {}

  /// Of all tokens of a mini-batch, [K].
  Tensor operator()() const { return of(0, learnable_.value().size()); }

  /// Of n tokens from index `first` on, [n]; from index K on, without learnable_i.
  Tensor of(std::int64_t first, std::int64_t n) const {
    const std::int64_t K = learnable_.value().size();
    const std::int64_t begin = std::min(first, K), end = std::min(first + n, K);
    const Tensor learnable = ops::pad(ops::slice(learnable_, 0, begin, end), 0, 0, n - (end - begin));
    const Tensor mean =
        tabulate({n}, learnable.dtype(), [=](std::int64_t i) { return 1 / static_cast<double>(first + i + 1); });
    return ops::relu(mean + learnable);
  }

 private:
  Parameter learnable_;
};

}  // namespace zoo::ttt
