#include <cmath>

#include "zoo/core/plugin.h"
#include "zoo/nn/linear.h"
#include "zoo/nn/orthogonal.h"
#include "zoo/nn/sequence_state.h"
#include "zoo/nn/token_shift.h"
#include "zoo/ops/families.h"

namespace {

using namespace zoo;

// Values by channel: f(n / D) or the like, for n = 0 .. D-1.
template <typename F>
Initializer by_channel(F f) {
  return Initializer::custom([f](std::span<double> values, RandomStream&) {
    for (std::size_t n = 0; n < values.size(); ++n) values[n] = f(static_cast<double>(n));
  });
}

// The time mix of RWKV-6 "Finch" (Peng et al. 2024, "Eagle and Finch", section 4), with x' the token before x:
//
//   z = tanh((x + (x' - x) mu_x) A);  x_i = x + (x' - x) (mu_i + z_i B_i)  for i = w, k, v, r, g
//   r, k, v = W_r x_r, W_k x_k, W_v x_v;  g = silu(W_g x_g);  w = exp(-exp(lambda + tanh(x_w C) E))
//   S_t = diag(w_t) S_{t-1} + k_t^T v_t,  o_t = r_t (S_{t-1} + diag(u) k_t^T v_t)
//   y = W_o (GroupNorm_h(o) * g)
class Rwkv6 final : public Layer {
 public:
  explicit Rwkv6(Builder& builder)
      : D_(builder.d_model()),
        heads_(builder.options().integer("heads")),
        d_(head_width(D_, heads_, "rwkv6")),
        mix_rank_(builder.options().integer("mix_rank")) {
    const double layers = builder.n_layers, layer = builder.layer_index, D = static_cast<double>(D_);
    const double rho = builder.n_layers > 1 ? layer / (layers - 1) : 0;
    const double e = 1 - layer / layers;
    const double last = std::max(D - 1, 1.0);
    const auto half_fading = by_channel([=](double n) { return 1 - std::pow(n / D, e / 2); });
    const auto fading = by_channel([=](double n) { return 1 - std::pow(n / D, e); });
    const auto fading_less = by_channel([=](double n) { return 1 - (std::pow(n / D, e) + 0.3 * rho); });
    maa_x_ = builder.parameter("time_maa_x", {1, 1, D_}, fading);
    maa_.push_back(builder.parameter("time_maa_w", {1, 1, D_}, fading));
    maa_.push_back(builder.parameter("time_maa_k", {1, 1, D_}, fading));
    maa_.push_back(builder.parameter("time_maa_v", {1, 1, D_}, fading_less));
    maa_.push_back(builder.parameter("time_maa_r", {1, 1, D_}, half_fading));
    maa_.push_back(builder.parameter("time_maa_g", {1, 1, D_}, half_fading));
    maa_w1_ = builder.parameter("time_maa_w1", {D_, 5 * mix_rank_}, Initializer::constant(0));
    maa_w2_ = builder.parameter("time_maa_w2", {5, mix_rank_, D_}, Initializer::uniform(0.01));
    decay_ = builder.parameter("time_decay", {1, 1, D_},
                               by_channel([=](double n) { return -6 + 5 * std::pow(n / last, 0.7 + 1.3 * rho); }));
    const std::int64_t decay_rank = builder.options().integer("decay_rank");
    decay_w1_ = builder.parameter("time_decay_w1", {D_, decay_rank}, Initializer::constant(0));
    decay_w2_ = builder.parameter("time_decay_w2", {decay_rank, D_}, Initializer::uniform(0.01));
    u_ =
        builder.parameter("time_faaaa", {heads_, d_},
                          by_channel([=](double n) { return rho * (1 - n / last) + 0.1 * (std::fmod(n + 1, 3) - 1); }));
    receptance_ = Linear(builder, "receptance", D_, D_, {.weight = orthogonal(D_, D_)});
    key_ = Linear(builder, "key", D_, D_, {.weight = orthogonal(D_, D_, 0.1)});
    value_ = Linear(builder, "value", D_, D_, {.weight = orthogonal(D_, D_)});
    gate_ = Linear(builder, "gate", D_, D_, {.weight = orthogonal(D_, D_, 0.1)});
    output_ = Linear(builder, "output", D_, D_, {.weight = Initializer::constant(0)});
    ln_x_weight_ = builder.parameter("ln_x.weight", {D_}, Initializer::constant(std::pow((1 + layer) / layers, 0.7)));
    ln_x_bias_ = builder.parameter("ln_x.bias", {D_}, Initializer::constant(0));
  }

  State initial_state(std::int64_t batch) const override {
    State state;
    start_token_shift(state, "x", batch, D_, receptance_.dtype());
    state.set("S", Tensor::zeros({batch, heads_, d_, d_}, receptance_.dtype()));
    return state;
  }

  Tensor forward(const Tensor& x, State& state, const Context&) override {
    const Tensor xx = token_shift(x, state, "x") - x;
    const Tensors mixed = mix(x, xx);
    const Tensor& x_w = mixed[0];
    const Tensor k = split_heads(key_(mixed[1]), heads_);
    const Tensor v = split_heads(value_(mixed[2]), heads_);
    const Tensor r = split_heads(receptance_(mixed[3]), heads_);
    const Tensor g = gate_(mixed[4]);
    const Tensor decay = decay_.value() + ops::matmul(ops::tanh(ops::matmul(x_w, decay_w1_)), decay_w2_);
    const Tensor log_w = split_heads(-ops::exp(decay), heads_);
    const ops::Recurrence result = ops::gated_linear_recurrence(r, k, v, state.get("S"), log_w, u_);
    state.set("S", result.state);
    return output_(ops::silu_gate(group_norm(result.y), g));
  }

 private:
  // x_i for i = w, k, v, r, g.
  Tensors mix(const Tensor& x, const Tensor& xx) const {
    const Tensor z = ops::tanh(ops::matmul(x + xx * maa_x_, maa_w1_));
    const Tensors parts = ops::split(z, -1, {mix_rank_, mix_rank_, mix_rank_, mix_rank_, mix_rank_});
    const Tensors w2 = ops::split(maa_w2_, 0, {1, 1, 1, 1, 1});
    Tensors mixed;
    for (std::size_t i = 0; i < 5; ++i) {
      const Tensor of_data = ops::matmul(parts[i], ops::reshape(w2[i], {mix_rank_, D_}));
      mixed.push_back(x + xx * (of_data + maa_[i]));
    }
    return mixed;
  }

  // Over the channels of each head, with weight and bias for all.
  Tensor group_norm(const Tensor& o) const {
    return join_heads(ops::layer_norm(o, {}, {}, 64e-5)) * ln_x_weight_ + ln_x_bias_;
  }

  std::int64_t D_;
  std::int64_t heads_;
  std::int64_t d_;
  std::int64_t mix_rank_;
  Parameter maa_x_;
  std::vector<Parameter> maa_;  // of w, k, v, r, g
  Parameter maa_w1_;
  Parameter maa_w2_;
  Parameter decay_;
  Parameter decay_w1_;
  Parameter decay_w2_;
  Parameter u_;
  Linear receptance_;
  Linear key_;
  Linear value_;
  Linear gate_;
  Linear output_;
  Parameter ln_x_weight_;
  Parameter ln_x_bias_;
};

}  // namespace

ZOO_REGISTER_LAYER(rwkv6) {
  return {.name = "rwkv6",
          .description = "matrix state with a data-dependent decay of each channel and a token shift",
          .paper = "Peng et al., Eagle and Finch: RWKV with matrix-valued states and dynamic recurrence, 2024",
          .options = OptionSchema()
                         .integer("heads", 1, {1, 1024}, "heads")
                         .integer("mix_rank", 32, {1, 4096}, "rank of the data-dependent token shift")
                         .integer("decay_rank", 64, {1, 4096}, "rank of the data-dependent decay"),
          .make = make<Rwkv6>(),
          .test_cases = {{.d_model = 8},
                         {.d_model = 12, .options = {{"heads", 3}, {"mix_rank", 4}, {"decay_rank", 5}}},
                         {.d_model = 9, .options = {{"heads", 1}, {"mix_rank", 2}, {"decay_rank", 3}}}}};
}
