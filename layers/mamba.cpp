#include <cmath>

#include "zoo/core/plugin.h"
#include "zoo/nn/linear.h"
#include "zoo/nn/short_conv.h"
#include "zoo/nn/step_size.h"
#include "zoo/ops/diagonal_scan.h"

namespace {

using namespace zoo;

// The distribution of PyTorch's Linear.
Initializer over_fan_in(std::int64_t fan_in) {
  return Initializer::uniform(1 / std::sqrt(static_cast<double>(fan_in)));
}

// Mamba (Gu and Dao 2023, "Mamba: linear-time sequence modeling with selective state spaces", section 3.4): on E
// channels, each with a state of N numbers,
//
//   x, z = W_in u;  x = silu(conv(x));  dt, B, C = W_x x;  delta = softplus(W_dt dt + b_dt);  A = -exp(A_log)
//   h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t;  y_t = C_t h_t + D x_t;  out = W_out (y * silu(z))
class Mamba final : public Layer {
 public:
  explicit Mamba(Builder& builder)
      : E_(builder.options().integer("expand") * builder.d_model()),
        N_(builder.options().integer("state")),
        dt_rank_(builder.options().integer("dt_rank")) {
    const std::int64_t d_model = builder.d_model();
    if (dt_rank_ == 0) dt_rank_ = (d_model + 15) / 16;
    const bool bias = builder.options().boolean("bias");
    in_weight_ = builder.parameter("in_proj.weight", {2 * E_, d_model}, over_fan_in(d_model));
    if (bias) in_bias_ = builder.parameter("in_proj.bias", {2 * E_}, Initializer::constant(0));
    conv_ = ShortConv(builder, "conv1d", E_, builder.options().integer("conv_kernel"),
                      {.bias = builder.options().boolean("conv_bias")});
    x_proj_ = Linear(builder, "x_proj", E_, dt_rank_ + 2 * N_, {.weight = over_fan_in(E_)});
    dt_weight_ = builder.parameter("dt_proj.weight", {E_, dt_rank_}, over_fan_in(dt_rank_));
    dt_bias_ = builder.parameter("dt_proj.bias", {E_}, step_size_bias());
    A_log_ =
        builder.parameter("A_log", {E_, N_}, Initializer::custom([N = N_](std::span<double> values, RandomStream&) {
                            for (std::size_t i = 0; i < values.size(); ++i) {
                              values[i] = std::log(1 + static_cast<double>(i % static_cast<std::size_t>(N)));
                            }
                          }),
                          {.decay = false});
    D_ = builder.parameter("D", {E_}, Initializer::constant(1), {.decay = false});
    const double bound = 1 / std::sqrt(static_cast<double>(E_ * builder.n_layers));
    out_proj_ = Linear(builder, "out_proj", E_, d_model, {.bias = bias, .weight = Initializer::uniform(bound)});
  }

  State initial_state(std::int64_t batch) const override {
    State state;
    conv_.start(state, batch);
    state.set("h", Tensor::zeros({batch, E_, N_}, x_proj_.dtype()));
    return state;
  }

  Tensor forward(const Tensor& u, State& state, const Context&) override {
    // Two products cost what one does; the halves of one would have to be copied.
    const Tensors W_in = ops::split(in_weight_, 0, {E_, E_});
    const Tensors b_in = in_bias_.defined() ? ops::split(in_bias_, 0, {E_, E_}) : Tensors(2);
    const Tensor x = conv_.silu(ops::linear(u, W_in[0], b_in[0]), state);
    const Tensor z = ops::linear(u, W_in[1], b_in[1]);
    const Tensor parameters = x_proj_(x);
    const Tensor dt = ops::slice(parameters, -1, 0, dt_rank_);
    const Tensor B = ops::slice(parameters, -1, dt_rank_, dt_rank_ + N_);
    const Tensor C = ops::slice(parameters, -1, dt_rank_ + N_, dt_rank_ + 2 * N_);
    const Tensor delta = ops::softplus(ops::linear(dt, dt_weight_, dt_bias_));
    const Tensor A = -ops::exp(A_log_);
    const ops::SelectiveScan scan = ops::selective_scan(x, delta, A, B, C, D_, state.get("h"));
    state.set("h", scan.state);
    return out_proj_(ops::silu_gate(scan.y, z));
  }

 private:
  std::int64_t E_;
  std::int64_t N_;
  std::int64_t dt_rank_;
  Parameter in_weight_;
  Parameter in_bias_;  // undefined without the option bias
  ShortConv conv_;
  Linear x_proj_;
  Parameter dt_weight_;
  Parameter dt_bias_;
  Parameter A_log_;
  Parameter D_;
  Linear out_proj_;
};

}  // namespace

ZOO_REGISTER_LAYER(mamba) {
  return {
      .name = "mamba",
      .description = "a state space model whose step and matrices depend on the input",
      .paper = "Gu and Dao, Mamba: linear-time sequence modeling with selective state spaces, 2023",
      .options = OptionSchema()
                     .integer("state", 16, {1, 4096}, "numbers in the state of a channel")
                     .sets_state()
                     .integer("expand", 2, {1, 64}, "channels as a multiple of d_model")
                     .integer("conv_kernel", 4, {1, 4096}, "taps of the convolution")
                     .integer("dt_rank", 0, {0, 1 << 20}, "rank of the step's projection; 0 = d_model / 16, rounded up")
                     .boolean("bias", false, "biases of the projections in and out")
                     .left_out_at_default()
                     .boolean("conv_bias", true, "a bias of the convolution")
                     .left_out_at_default(),
      .make = make<Mamba>(),
      .test_cases = {{.d_model = 8},
                     {.d_model = 5, .options = {{"state", 3}, {"expand", 3}}},
                     {.d_model = 4, .options = {{"state", 2}, {"bias", true}, {"conv_bias", false}}},
                     {.d_model = 6, .options = {{"conv_kernel", 1}, {"dt_rank", 4}, {"state", 1}}}}};
}
