#include <cmath>

#include "zoo/core/plugin.h"
#include "zoo/nn/linear.h"
#include "zoo/nn/orthogonal.h"
#include "zoo/nn/token_shift.h"

namespace {

using namespace zoo;

// The channel mix of RWKV-6 (Peng et al. 2024, "Eagle and Finch"), with x' the token before x:
//
//   x_i = x + (x' - x) mu_i  for i = k, r;  y = sigmoid(W_r x_r) * W_v relu(W_k x_k)^2
class Rwkv6ChannelMix final : public Layer {
 public:
  explicit Rwkv6ChannelMix(Builder& builder) : D_(builder.d_model()) {
    const std::int64_t hidden = D_ * 7 / 2 / 32 * 32;
    if (hidden == 0) {
      throw UsageError(
          "feed-forward rwkv6_channel_mix: its width is the multiple of 32 in 3.5 * d_model, and there is none in "
          "3.5 * {}; choose a d_model of 10 or more",
          D_);
    }
    const double e = 1 - static_cast<double>(builder.layer_index) / builder.n_layers;
    const auto fading = Initializer::custom([e](std::span<double> values, RandomStream&) {
      const auto D = static_cast<double>(values.size());
      for (std::size_t n = 0; n < values.size(); ++n) {
        values[n] = 1 - std::pow(static_cast<double>(n) / D, e * e * e);
      }
    });
    maa_k_ = builder.parameter("time_maa_k", {1, 1, D_}, fading);
    maa_r_ = builder.parameter("time_maa_r", {1, 1, D_}, fading);
    key_ = Linear(builder, "key", D_, hidden, {.weight = orthogonal(hidden, D_)});
    receptance_ = Linear(builder, "receptance", D_, D_, {.weight = Initializer::constant(0)});
    value_ = Linear(builder, "value", hidden, D_, {.weight = Initializer::constant(0)});
  }

  State initial_state(std::int64_t batch) const override {
    State state;
    start_token_shift(state, "x", batch, D_, key_.dtype());
    return state;
  }

  Tensor forward(const Tensor& x, State& state, const Context&) override {
    const Tensor xx = token_shift(x, state, "x") - x;
    const Tensor k = ops::square(ops::relu(key_(x + xx * maa_k_)));
    return ops::sigmoid(receptance_(x + xx * maa_r_)) * value_(k);
  }

 private:
  std::int64_t D_;
  Parameter maa_k_;
  Parameter maa_r_;
  Linear key_;
  Linear receptance_;
  Linear value_;
};

}  // namespace

ZOO_REGISTER_FEED_FORWARD(rwkv6_channel_mix) {
  return {.name = "rwkv6_channel_mix",
          .description = "RWKV-6's: a squared relu and a gate, both on a mix of the token and the one before",
          .paper = "Peng et al., Eagle and Finch: RWKV with matrix-valued states and dynamic recurrence, 2024",
          .options = OptionSchema(),
          .make = make<Rwkv6ChannelMix>(),
          .test_cases = {{.d_model = 10}, {.d_model = 19}}};
}
