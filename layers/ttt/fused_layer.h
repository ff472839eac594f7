#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "layers/ttt/frame.h"
#include "layers/ttt/learned_rate.h"
#include "zoo/ops/fast_weights.h"

namespace zoo::ttt {

/// A TTT layer as its authors released it, whose inner model f(x; W) = x + LN(g(x; W)) is one affine map g or two with
/// a GELU between, on the kernels of the fast_weights family. K tokens make a mini-batch; with W_0 the weights at its
/// start and i the index in it,
///
///     G_j = gradient of 1/2 |f(k_j; W_0) - v_j|^2 by W_0
///     W_i = W_0 - tok_i sum_{j<=i} eta_j G_j,    z_i = f(q_i; W_i)
class FusedLayer : public Layer {
 public:
  /// `widths`: of the inner model's activations in heads' widths, its input and output included.
  FusedLayer(Builder& builder, std::string_view layer, const std::vector<std::int64_t>& widths, bool warm_up)
      : heads_(builder.options().integer("heads")),
        mini_batch_(builder.options().integer("mini_batch")),
        frame_(builder, layer,
               {.heads = heads_,
                .mini_batch = mini_batch_,
                .rope_base = builder.options().real("rope_base"),
                .share_qk = builder.options().boolean("share_qk"),
                .conv_kernel = builder.options().integer("conv_kernel"),
                .gate = builder.options().boolean("gate"),
                .post_norm = true}),
        eta_(builder, heads_, builder.options().real("base_lr"), warm_up),
        token_scale_(builder, mini_batch_),
        norm_weight_(builder.parameter("ttt_norm_weight", {heads_, frame_.d()}, Initializer::constant(1))),
        norm_bias_(builder.parameter("ttt_norm_bias", {heads_, frame_.d()}, Initializer::constant(0))) {
    for (std::size_t l = 1; l < widths.size(); ++l) {
      const std::int64_t in = widths[l - 1] * frame_.d(), out = widths[l] * frame_.d();
      const std::string index = std::to_string(l);
      names_.push_back({"W" + index, "b" + index, "W" + index + "_grad", "b" + index + "_grad"});
      initial_.push_back({builder.parameter(names_.back().W, {heads_, in, out}, Initializer::normal(0.02)),
                          builder.parameter(names_.back().b, {heads_, 1, out}, Initializer::constant(0))});
    }
  }

  State initial_state(std::int64_t batch) const override {
    State state;
    frame_.start(state, batch);
    for (std::size_t l = 0; l < names_.size(); ++l) {
      const Tensor &W = initial_[l].W.value(), &b = initial_[l].b.value();
      const Shape W_shape = W.shape().insert(0, batch), b_shape = b.shape().insert(0, batch);
      state.set(names_[l].W, ops::broadcast_to(W, W_shape));
      state.set(names_[l].b, ops::broadcast_to(b, b_shape));
      state.set(names_[l].W_sum, Tensor::zeros(W_shape, W.dtype()));
      state.set(names_[l].b_sum, Tensor::zeros(b_shape, b.dtype()));
    }
    return state;
  }

  bool reads_rows() const override { return true; }

  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const Views views = frame_.views(x, state);
    PoolVector<ops::FastMap> maps;
    for (const Names& name : names_) {
      maps.push_back({state.get(name.W), state.get(name.b), state.get(name.W_sum), state.get(name.b_sum)});
    }
    const ops::FastWeights learned =
        ops::fast_weights({views.q, views.k, views.v, eta_(x, context), token_scale_(), norm_weight_, norm_bias_}, maps,
                          {.mini_batch = mini_batch_, .first = state.position % mini_batch_});
    for (std::size_t l = 0; l < names_.size(); ++l) {
      state.set(names_[l].W, learned.maps[l].W);
      state.set(names_[l].b, learned.maps[l].b);
      state.set(names_[l].W_sum, learned.maps[l].W_sum);
      state.set(names_[l].b_sum, learned.maps[l].b_sum);
    }
    return frame_.output(learned.z, x, context);
  }

 private:
  struct Names {
    std::string W, b, W_sum, b_sum;
  };
  struct InitialMap {
    Parameter W, b;
  };

  std::int64_t heads_;
  std::int64_t mini_batch_;
  Frame frame_;
  LearnedRate eta_;
  TokenScale token_scale_;
  Parameter norm_weight_;
  Parameter norm_bias_;
  std::vector<Names> names_;
  std::vector<InitialMap> initial_;
};

/// The options of these layers.
inline OptionSchema fused_layer_options(double base_lr, const std::string& base_lr_help) {
  return OptionSchema()
      .integer("heads", 4, {1, 1024}, "heads, each with an inner model of its own")
      .integer("mini_batch", 16, {1, 4096}, "tokens whose gradients are taken at once, K")
      .real("base_lr", base_lr, {0, 1e6}, base_lr_help)
      .boolean("gate", false, "times gelu of a projection of the input, as in the Mamba backbone")
      .boolean("share_qk", false, "q and k are two convolutions of one projection, as in the Mamba backbone")
      .integer("conv_kernel", 4, {1, 4096}, "length of these convolutions, and of the one asked of the backbone then")
      .real("rope_base", 10000, {0, 1e12}, "base of rotary positions within the mini-batch; 0 = none");
}

}  // namespace zoo::ttt
