#include <cmath>

#include "zoo/core/plugin.h"
#include "zoo/nn/linear.h"
#include "zoo/nn/norm.h"
#include "zoo/nn/sequence_state.h"
#include "zoo/nn/short_conv.h"
#include "zoo/ops/delta_rule.h"

namespace {

using namespace zoo;

// Yang et al. 2024, "Parallelizing linear transformers with the delta rule over sequence length": for each head
//
//   q, k, v = silu(conv(W x)), q and k of unit length, q / sqrt(d_k);  beta = sigmoid(w_b x)
//   e_t = beta_t (v_t - k_t S_{t-1});  S_t = S_{t-1} + k_t^T e_t;  o_t = q_t S_t
//   y = W_o RMSNorm(o), or W_o (RMSNorm(o) * silu(W_g x)) with a gate
//
// Twice that beta lets the transition I - beta k^T k reflect (Grazzi et al. 2024, "Unlocking state-tracking in linear
// RNNs through negative eigenvalues").
class DeltaNet final : public Layer {
 public:
  explicit DeltaNet(Builder& builder)
      : heads_(builder.options().integer("heads")),
        gate_(builder.options().boolean("gate")),
        largest_beta_(builder.options().boolean("negative_eigenvalues") ? 2 : 1),
        d_k_(head_part(builder, "expand_k")),
        d_v_(head_part(builder, "expand_v")) {
    const std::int64_t D = builder.d_model(), K = heads_ * d_k_, V = heads_ * d_v_;
    const std::int64_t kernel = builder.options().integer("conv_kernel");
    const ShortConv::Settings conv{.bias = false, .weight = Initializer::linear_weight()};
    q_proj_ = Linear(builder, "q_proj", D, K);
    k_proj_ = Linear(builder, "k_proj", D, K);
    v_proj_ = Linear(builder, "v_proj", D, V);
    b_proj_ = Linear(builder, "b_proj", D, heads_);
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
    const ops::Recurrence o = ops::delta_rule(with_length(q, 1 / std::sqrt(static_cast<double>(d_k_)), 1e-6),
                                              with_length(k, 1, 1e-6), v, beta, state.get("S"), {});
    state.set("S", o.state);
    Tensor y = join_heads(o_norm_(read_rows(o.y, context)));
    if (gate_) y = y * ops::silu(g_proj_(read_rows(x, context)));
    return o_proj_(y);
  }

 private:
  // A head's part of d_model times an option; both must be whole.
  std::int64_t head_part(const Builder& builder, std::string_view option) const {
    const double expand = builder.options().real(option);
    const double width = static_cast<double>(builder.d_model()) * expand / static_cast<double>(heads_);
    const double whole = std::round(width);
    if (whole < 1 || std::abs(width - whole) > 1e-6) {
      throw UsageError("layer delta_net: d_model {} times {} {} is not divisible by heads {}", builder.d_model(),
                       option, expand, heads_);
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
  Linear b_proj_;
  ShortConv q_conv_;
  ShortConv k_conv_;
  ShortConv v_conv_;
  Linear g_proj_;
  RmsNorm o_norm_;
  Linear o_proj_;
};

}  // namespace

ZOO_REGISTER_LAYER(delta_net) {
  return {.name = "delta_net",
          .description = "linear attention that replaces what is stored under a key, by the delta rule",
          .paper = "Yang et al., Parallelizing linear transformers with the delta rule over sequence length, 2024",
          .options = OptionSchema()
                         .integer("heads", 4, {1, 1024}, "heads")
                         .real("expand_k", 1, {1e-3, 64}, "width of the keys as a multiple of d_model")
                         .real("expand_v", 1, {1e-3, 64}, "width of the values as a multiple of d_model")
                         .integer("conv_kernel", 4, {1, 64}, "length of the convolutions of q, k and v")
                         .boolean("gate", false, "multiply the output by silu(W_g x)")
                         .boolean("negative_eigenvalues", false, "beta from 0 to 2, so that the state may be reflected")
                         .real("norm_eps", 1e-5, {0, 1}, "epsilon of the norm of the output"),
          .make = make<DeltaNet>(),
          .test_cases = {
              {.d_model = 8},
              {.d_model = 8, .options = {{"heads", 2}, {"gate", true}, {"conv_kernel", 2}}},
              {.d_model = 6, .options = {{"heads", 1}, {"expand_k", 0.5}, {"expand_v", 1.5}}},
              {.d_model = 10,
               .options = {{"heads", 2}, {"negative_eigenvalues", true}, {"conv_kernel", 1}, {"norm_eps", 1e-2}}}}};
}
