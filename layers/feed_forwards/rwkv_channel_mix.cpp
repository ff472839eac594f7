#include <algorithm>
#include <cmath>

#include "zoo/core/plugin.h"
#include "zoo/nn/linear.h"
#include "zoo/nn/orthogonal.h"
#include "zoo/nn/token_mix.h"

namespace {

using namespace zoo;

// RWKV-4's channel mixing (Peng et al. 2023, "RWKV: reinventing RNNs for the transformer era", section 3.1): with each
// token's input mixed with the one before, x_m = m x_t + (1 - m) x_{t-1},
//
//   out_t = sigmoid(W_r x_r) * W_v relu(W_k x_k)^2
class RwkvChannelMix final : public Layer {
 public:
  explicit RwkvChannelMix(Builder& builder)
      : d_model_(builder.d_model()),
        mix_k_(builder, "time_mix_key", TokenMix::initial_exponent(builder)),
        mix_r_(builder, "time_mix_receptance", TokenMix::initial_exponent(builder)) {
    std::int64_t hidden = builder.options().integer("hidden");
    if (hidden == 0) hidden = 4 * d_model_;
    const double gain = std::sqrt(std::max(1.0, static_cast<double>(hidden) / static_cast<double>(d_model_)));
    key_ = Linear(builder, "key", d_model_, hidden, {.weight = orthogonal(hidden, d_model_, gain)});
    receptance_ = Linear(builder, "receptance", d_model_, d_model_, {.weight = Initializer::constant(0)});
    value_ = Linear(builder, "value", hidden, d_model_, {.weight = Initializer::constant(0)});
  }

  State initial_state(std::int64_t batch) const override {
    State state;
    state.set("x_prev", Tensor::zeros({batch, 1, d_model_}, key_.dtype()));
    return state;
  }

  Tensor forward(const Tensor& x, State& state, const Context&) override {
    const Tensor x_prev = state.get("x_prev");
    state.set("x_prev", last_token(x));
    const Tensor k = ops::square(ops::relu(key_(mix_k_(x, x_prev))));
    return ops::sigmoid(receptance_(mix_r_(x, x_prev))) * value_(k);
  }

 private:
  std::int64_t d_model_;
  TokenMix mix_k_;
  TokenMix mix_r_;
  Linear key_;
  Linear receptance_;
  Linear value_;
};

}  // namespace

ZOO_REGISTER_FEED_FORWARD(rwkv_channel_mix) {
  return {
      .name = "rwkv_channel_mix",
      .description = "RWKV-4's: a squared relu and a gate, both on a mix of the token and the one before",
      .paper = "Peng et al., RWKV: reinventing RNNs for the transformer era, 2023",
      .options = OptionSchema().integer("hidden", 0, {0, 1 << 24}, "hidden width; 0 = 4 d_model").left_out_at_default(),
      .make = make<RwkvChannelMix>(),
      .test_cases = {{.d_model = 8}, {.d_model = 5}, {.d_model = 5, .options = {{"hidden", 3}}}}};
}
