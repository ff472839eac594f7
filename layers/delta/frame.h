#pragma once

#include <cmath>
#include <cstdint>

#include "zoo/nn/linear.h"
#include "zoo/nn/norm.h"
#include "zoo/nn/sequence_state.h"
#include "zoo/nn/short_conv.h"
#include "zoo/ops/delta_rule.h"

/// What DeltaNet and Gated DeltaNet share (Yang et al. 2024): all but the decay of the state.
namespace zoo::delta {

struct FrameSettings {
  std::int64_t heads;
  std::int64_t d_k;  ///< width of a head's keys
  std::int64_t d_v;  ///< and of its values
};

/// For each head, with log_a the logarithm of the state's decay, or none:
///
///     q, k, v = silu(conv(W x)), q and k of unit length, q / sqrt(d_k);  beta = sigmoid(w_b x)
///     e_t = beta_t (v_t - k_t a_t S_{t-1});  S_t = a_t S_{t-1} + k_t^T e_t;  o_t = q_t S_t
///     y = W_o RMSNorm(o), or W_o (RMSNorm(o) * silu(W_g x)) with a gate
///
/// Twice that beta lets the transition I - beta k^T k reflect (Grazzi et al. 2024, "Unlocking state-tracking in linear
/// RNNs through negative eigenvalues"). Reads the options conv_kernel, gate, negative_eigenvalues and norm_eps.
class Frame {
 public:
  Frame(Builder& builder, const FrameSettings& settings)
      : settings_(settings), largest_beta_(builder.options().boolean("negative_eigenvalues") ? 2 : 1) {
    const std::int64_t D = builder.d_model(), K = settings.heads * settings.d_k, V = settings.heads * settings.d_v;
    const std::int64_t kernel = builder.options().integer("conv_kernel");
    const ShortConv::Settings conv{.bias = false, .weight = Initializer::linear_weight()};
    q_proj_ = Linear(builder, "q_proj", D, K);
    k_proj_ = Linear(builder, "k_proj", D, K);
    v_proj_ = Linear(builder, "v_proj", D, V);
    b_proj_ = Linear(builder, "b_proj", D, settings.heads);
    q_conv_ = ShortConv(builder, "q_conv1d", K, kernel, conv);
    k_conv_ = ShortConv(builder, "k_conv1d", K, kernel, conv);
    v_conv_ = ShortConv(builder, "v_conv1d", V, kernel, conv);
    gate_ = builder.options().boolean("gate");
    if (gate_) g_proj_ = Linear(builder, "g_proj", D, V);
    o_norm_ = RmsNorm(builder, "o_norm", settings.d_v, builder.options().real("norm_eps"));
    o_proj_ = Linear(builder, "o_proj", V, D, {.weight = Initializer::output_projection()});
  }

  State initial_state(std::int64_t batch) const {
    State state;
    state.set("S", Tensor::zeros({batch, settings_.heads, settings_.d_k, settings_.d_v}, q_proj_.dtype()));
    q_conv_.start(state, batch);
    k_conv_.start(state, batch);
    v_conv_.start(state, batch);
    return state;
  }

  /// The output for a chunk x [B,T,D], of the rows that are read; log_a [B,T,H], or undefined for no decay.
  Tensor operator()(const Tensor& x, const Tensor& log_a, State& state, const Context& context) const {
    const std::int64_t heads = settings_.heads;
    const Tensor q = split_heads(q_conv_.silu(q_proj_(x), state), heads);
    const Tensor k = split_heads(k_conv_.silu(k_proj_(x), state), heads);
    const Tensor v = split_heads(v_conv_.silu(v_proj_(x), state), heads);
    const Tensor beta = ops::scale(ops::sigmoid(b_proj_(x)), largest_beta_);
    const double scale = 1 / std::sqrt(static_cast<double>(settings_.d_k));
    const ops::Recurrence o =
        ops::delta_rule(with_length(q, scale, 1e-6), with_length(k, 1, 1e-6), v, beta, state.get("S"), log_a);
    state.set("S", o.state);
    Tensor y = join_heads(o_norm_(read_rows(o.y, context)));
    if (gate_) y = ops::silu_gate(y, g_proj_(read_rows(x, context)));
    return o_proj_(y);
  }

 private:
  FrameSettings settings_;
  double largest_beta_;
  bool gate_ = false;
  Linear q_proj_, k_proj_, v_proj_, b_proj_, g_proj_, o_proj_;
  ShortConv q_conv_, k_conv_, v_conv_;
  RmsNorm o_norm_;
};

/// The width `channels` times an option, of a head; throws UsageError when it is not whole.
inline std::int64_t whole_width(const Builder& builder, std::string_view layer, std::string_view option,
                                double channels) {
  const double expand = builder.options().real(option);
  const double whole = std::round(channels * expand);
  if (whole < 1 || std::abs(channels * expand - whole) > 1e-6) {
    throw UsageError("layer {}: a head's {} channels times {} {} are {}; choose them so that it is whole", layer,
                     channels, option, expand, channels * expand);
  }
  return static_cast<std::int64_t>(whole);
}

/// The options that the frame reads.
inline OptionSchema with_frame_options(OptionSchema schema, bool gate) {
  schema.integer("conv_kernel", 4, {1, 64}, "length of the convolutions of q, k and v")
      .boolean("gate", gate, "multiply the output by silu(W_g x)")
      .boolean("negative_eigenvalues", false, "beta from 0 to 2, so that the state may be reflected")
      .real("norm_eps", 1e-5, {0, 1}, "epsilon of the norm of the output");
  return schema;
}

}  // namespace zoo::delta
