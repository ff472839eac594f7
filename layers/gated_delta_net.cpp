#include <cmath>

#include "zoo/core/plugin.h"
#include "zoo/nn/linear.h"
#include "zoo/nn/norm.h"
#include "zoo/nn/sequence_state.h"
#include "zoo/nn/short_conv.h"
#include "zoo/nn/step_size.h"
#include "zoo/ops/delta_rule.h"

namespace {

using namespace zoo;

// ln U(0, 16), of one head each.
void fill_log_A(std::span<double> values, RandomStream& random) {
  for (double& value : values) value = std::log(16 * (1 - random.uniform()));
}

// Yang et al. 2024, "Gated delta networks: improving Mamba2 with delta rule": for each head
//
//   q, k, v = silu(conv(W x)), q and k of unit length, q / sqrt(d_k);  beta = sigmoid(w_b x)
//   a = exp(-exp(A_log) softplus(w_a x + dt_bias))
//   e_t = beta_t (v_t - k_t a_t S_{t-1});  S_t = a_t S_{t-1} + k_t^T e_t;  o_t = q_t S_t
//   y = W_o (RMSNorm(o) * silu(W_g x)), or W_o RMSNorm(o) without the gate
class GatedDeltaNet final : public Layer {
 public:
  explicit GatedDeltaNet(Builder& builder)
      : heads_(builder.options().integer("heads")),
        gate_(builder.options().boolean("gate")),
        largest_beta_(builder.options().boolean("negative_eigenvalues") ? 2 : 1),
        d_k_(builder.options().integer("head_dim")) {
    if (d_k_ == 0) d_k_ = head_width(builder.d_model(), heads_, "gated_delta_net");
    d_v_ = value_width(d_k_, builder.options().real("expand_v"));
    const std::int64_t D = builder.d_model(), K = heads_ * d_k_, V = heads_ * d_v_;
    const std::int64_t kernel = builder.options().integer("conv_kernel");
    const ShortConv::Settings conv{.bias = false, .weight = Initializer::linear_weight()};
    q_proj_ = Linear(builder, "q_proj", D, K);
    k_proj_ = Linear(builder, "k_proj", D, K);
    v_proj_ = Linear(builder, "v_proj", D, V);
    a_proj_ = Linear(builder, "a_proj", D, heads_);
    b_proj_ = Linear(builder, "b_proj", D, heads_);
    A_log_ = builder.parameter("A_log", {heads_}, Initializer::custom(fill_log_A), {.decay = false});
    dt_bias_ = builder.parameter("dt_bias", {heads_}, step_size_bias(), {.decay = false});
    q_conv_ = ShortConv(builder, "q_conv1d", K, kernel, conv);
    k_conv_ = ShortConv(builder, "k_conv1d", K, kernel, conv);
    v_conv_ = ShortConv(builder, "v_conv1d", V, kernel, conv);
    if (gate_) g_proj_ = Linear(builder, "g_proj", D, V);
    o_norm_ = RmsNorm(builder, "o_norm", d_v_, builder.options().real("norm_eps"));
    o_proj_ = Linear(builder, "o_proj", V, D, {.weight = Initializer::output_projection()});
  }

  State initial_state(std::int64_t batch) const override {
    State state;
    state.set("S", Tensor::zeros({batch, heads_, d_k_, d_v_}, q_proj_.dtype()));
    q_conv_.start(state, batch);
    k_conv_.start(state, batch);
    v_conv_.start(state, batch);
    return state;
  }

  bool reads_rows() const override { return true; }

  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const Tensor q = split_heads(ops::silu(q_conv_(q_proj_(x), state)), heads_);
    const Tensor k = split_heads(ops::silu(k_conv_(k_proj_(x), state)), heads_);
    const Tensor v = split_heads(ops::silu(v_conv_(v_proj_(x), state)), heads_);
    const Tensor beta = ops::scale(ops::sigmoid(b_proj_(x)), largest_beta_);
    const Tensor log_a = ops::neg(ops::exp(A_log_)) * ops::softplus(a_proj_(x) + dt_bias_);
    const ops::Recurrence o = ops::delta_rule(with_length(q, 1 / std::sqrt(static_cast<double>(d_k_)), 1e-6),
                                              with_length(k, 1, 1e-6), v, beta, state.get("S"), log_a);
    state.set("S", o.state);
    Tensor y = join_heads(o_norm_(read_rows(o.y, context)));
    if (gate_) y = y * ops::silu(g_proj_(read_rows(x, context)));
    return o_proj_(y);
  }

 private:
  static std::int64_t value_width(std::int64_t d_k, double expand) {
    const double width = static_cast<double>(d_k) * expand;
    const double whole = std::round(width);
    if (whole < 1 || std::abs(width - whole) > 1e-6) {
      throw UsageError("layer gated_delta_net: head_dim {} times expand_v {} is {}; choose them so that it is whole",
                       d_k, expand, width);
    }
    return static_cast<std::int64_t>(whole);
  }

  std::int64_t heads_;
  bool gate_;
  double largest_beta_;
  std::int64_t d_k_;
  std::int64_t d_v_;
  Linear q_proj_;
  Linear k_proj_;
  Linear v_proj_;
  Linear a_proj_;
  Linear b_proj_;
  Parameter A_log_;
  Parameter dt_bias_;
  ShortConv q_conv_;
  ShortConv k_conv_;
  ShortConv v_conv_;
  Linear g_proj_;
  RmsNorm o_norm_;
  Linear o_proj_;
};

}  // namespace

ZOO_REGISTER_LAYER(gated_delta_net) {
  return {.name = "gated_delta_net",
          .description = "the delta rule on a state that also decays, by a gate for each head and step",
          .paper = "Yang et al., Gated delta networks: improving Mamba2 with delta rule, 2024",
          .options = OptionSchema()
                         .integer("heads", 2, {1, 1024}, "heads")
                         .integer("head_dim", 0, {0, 1 << 16}, "channels of a head's keys; 0 = d_model / heads")
                         .real("expand_v", 2, {1e-3, 64}, "width of a head's values as a multiple of its keys'")
                         .integer("conv_kernel", 4, {1, 64}, "length of the convolutions of q, k and v")
                         .boolean("gate", true, "multiply the output by silu(W_g x)")
                         .boolean("negative_eigenvalues", false, "beta from 0 to 2, so that the state may be reflected")
                         .real("norm_eps", 1e-5, {0, 1}, "epsilon of the norm of the output"),
          .make = make<GatedDeltaNet>(),
          .test_cases = {{.d_model = 8},
                         {.d_model = 6, .options = {{"heads", 3}, {"head_dim", 4}, {"expand_v", 1.5}, {"gate", false}}},
                         {.d_model = 9,
                          .options = {{"heads", 1},
                                      {"head_dim", 5},
                                      {"expand_v", 1},
                                      {"conv_kernel", 2},
                                      {"negative_eigenvalues", true},
                                      {"norm_eps", 1e-2}}}}};
}
