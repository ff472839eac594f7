#include <algorithm>
#include <cmath>

#include "zoo/core/plugin.h"
#include "zoo/nn/linear.h"
#include "zoo/nn/orthogonal.h"
#include "zoo/nn/token_mix.h"
#include "zoo/ops/diagonal_scan.h"

namespace {

using namespace zoo;

// RWKV-4's time mixing (Peng et al. 2023, "RWKV: reinventing RNNs for the transformer era", section 3.1): with each
// token's input mixed with the one before, x_m = m x_t + (1 - m) x_{t-1},
//
//   r_t = W_r x_r,  k_t = W_k x_k,  v_t = W_v x_v,  w = -exp(time_decay),  u = time_first
//   wkv_t = (sum_{s<t} e^{(t-1-s) w + k_s} v_s + e^{u + k_t} v_t) / (the same without v)
//   out_t = W_o (sigmoid(r_t) * wkv_t)
class Rwkv4 final : public Layer {
 public:
  explicit Rwkv4(Builder& builder)
      : d_model_(builder.d_model()),
        hidden_(builder.options().integer("hidden") == 0 ? d_model_ : builder.options().integer("hidden")) {
    const std::int64_t D = d_model_, hidden = hidden_;
    const double rho = relative_depth(builder), exponent = TokenMix::initial_exponent(builder);
    time_decay_ = builder.parameter("time_decay", {hidden}, Initializer::custom([rho](auto values, RandomStream&) {
                                      const double last = std::max(static_cast<double>(values.size()) - 1, 1.0);
                                      for (std::size_t i = 0; i < values.size(); ++i) {
                                        const double place = static_cast<double>(i) / last;
                                        values[i] = -5 + 8 * std::pow(place, 0.7 + 1.3 * rho);
                                      }
                                    }));
    time_first_ = builder.parameter("time_first", {hidden}, Initializer::custom([](auto values, RandomStream&) {
                                      for (std::size_t i = 0; i < values.size(); ++i) {
                                        values[i] = std::log(0.3) + 0.5 * (static_cast<double>((i + 1) % 3) - 1);
                                      }
                                    }));
    mix_k_ = TokenMix(builder, "time_mix_key", exponent);
    mix_v_ = TokenMix(builder, "time_mix_value", exponent, 0.3 * rho);
    mix_r_ = TokenMix(builder, "time_mix_receptance", 0.5 * exponent);
    const double gain = hidden > D ? std::sqrt(static_cast<double>(hidden) / static_cast<double>(D)) : 1;
    key_ = Linear(builder, "key", D, hidden, {.weight = Initializer::constant(0)});
    value_ = Linear(builder, "value", D, hidden, {.weight = orthogonal(hidden, D, gain)});
    receptance_ = Linear(builder, "receptance", D, hidden, {.weight = Initializer::constant(0)});
    output_ = Linear(builder, "output", hidden, D, {.weight = Initializer::constant(0)});
  }

  State initial_state(std::int64_t batch) const override {
    const DType dtype = key_.dtype();
    State state;
    state.set("x_prev", Tensor::zeros({batch, 1, d_model_}, dtype));
    state.set("p", Tensor::zeros({batch, hidden_}, dtype));
    state.set("q", Tensor::zeros({batch, hidden_}, dtype));
    state.set("o", Tensor::full({batch, hidden_}, -1e38, dtype));
    return state;
  }

  Tensor forward(const Tensor& x, State& state, const Context&) override {
    const Tensor x_prev = state.get("x_prev");
    const Tensor r = ops::sigmoid(receptance_(mix_r_(x, x_prev)));
    const Tensor k = key_(mix_k_(x, x_prev)), v = value_(mix_v_(x, x_prev));
    state.set("x_prev", last_token(x));
    const Tensor w = -ops::exp(time_decay_);
    const ops::Wkv result = ops::wkv(k, v, w, time_first_, {state.get("p"), state.get("q"), state.get("o")});
    state.set("p", result.state.p);
    state.set("q", result.state.q);
    state.set("o", result.state.o);
    return output_(r * result.y);
  }

 private:
  std::int64_t d_model_;
  std::int64_t hidden_;
  Parameter time_decay_;
  Parameter time_first_;
  TokenMix mix_k_;
  TokenMix mix_v_;
  TokenMix mix_r_;
  Linear key_;
  Linear value_;
  Linear receptance_;
  Linear output_;
};

}  // namespace

ZOO_REGISTER_LAYER(rwkv4) {
  return {.name = "rwkv4",
          .description = "a decaying weighted mean of values, channel by channel",
          .paper = "Peng et al., RWKV: reinventing RNNs for the transformer era, 2023",
          .options = OptionSchema()
                         .integer("hidden", 0, {0, 1 << 24}, "channels of keys, values and state; 0 = d_model")
                         .sets_state()
                         .left_out_at_default(),
          .make = make<Rwkv4>(),
          .test_cases = {{.d_model = 8}, {.d_model = 5}, {.d_model = 5, .options = {{"hidden", 7}}}}};
}
