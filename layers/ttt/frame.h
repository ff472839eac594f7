#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "zoo/nn/linear.h"
#include "zoo/nn/norm.h"
#include "zoo/nn/sequence_state.h"
#include "zoo/nn/short_conv.h"

/// What stands around the inner model of every TTT layer (Sun et al. 2024, "Learning to (learn at test time)", section
/// 2.7 and figure 16): the views of a token that the inner model meets, and the way from its predictions to the output.
namespace zoo::ttt {

/// What the inner model is asked, what it learns from, and what it shall predict then, each [B,T,H,d].
struct Views {
  Tensor q;  ///< test view, theta_Q x
  Tensor k;  ///< training view, theta_K x
  Tensor v;  ///< label view, theta_V x
};

struct FrameSettings {
  std::int64_t heads;
  std::int64_t mini_batch;   ///< positions are counted from the mini-batch's start
  double rope_base;          ///< 0: no positions
  bool share_qk;             ///< q and k are convolutions of one projection, as in the Mamba backbone
  std::int64_t conv_kernel;  ///< of these
  bool gate;
  bool post_norm;
};

/// The projections, convolutions, positions, output norm and gate.
class Frame {
 public:
  Frame(Builder& builder, std::string_view layer, const FrameSettings& settings)
      : settings_(settings), d_(head_width(builder.d_model(), settings.heads, layer)) {
    if (settings.rope_base > 0 && d_ % 2 != 0) {
      throw UsageError(
          "layer {}: the width of a head is {} (d_model {} / heads {}), rotary positions need an even one; choose "
          "another d_model or heads, or rope_base=0",
          layer, d_, builder.d_model(), settings.heads);
    }
    const std::int64_t D = builder.d_model();
    q_proj_ = Linear(builder, "q_proj", D, D);
    if (!settings.share_qk) k_proj_ = Linear(builder, "k_proj", D, D);
    v_proj_ = Linear(builder, "v_proj", D, D);
    o_proj_ = Linear(builder, "o_proj", D, D, {.weight = Initializer::output_projection()});
    if (settings.share_qk) {
      conv_q_ = ShortConv(builder, "conv_q", D, settings.conv_kernel);
      conv_k_ = ShortConv(builder, "conv_k", D, settings.conv_kernel);
    }
    if (settings.gate) g_proj_ = Linear(builder, "g_proj", D, D);
    if (settings.post_norm) post_norm_.emplace(builder, "post_norm", 1e-6);
  }

  /// The width of a head.
  std::int64_t d() const { return d_; }
  DType dtype() const { return v_proj_.dtype(); }

  /// What the convolutions carry on, zeros before the first token.
  void start(State& state, std::int64_t batch) const {
    if (!settings_.share_qk) return;
    conv_q_.start(state, batch);
    conv_k_.start(state, batch);
  }

  /// Of a chunk x [B,T,D] at the state's position.
  Views views(const Tensor& x, State& state) const {
    const Tensor q = q_proj_(x);
    return {
        positioned(split_heads(settings_.share_qk ? conv_q_(q, state) : q, settings_.heads), state.position),
        positioned(split_heads(settings_.share_qk ? conv_k_(q, state) : k_proj_(x), settings_.heads), state.position),
        split_heads(v_proj_(x), settings_.heads)};
  }

  /// The layer's output, of the rows that are read, from the predictions z [B,T,H,d] for the chunk x.
  Tensor output(const Tensor& z, const Tensor& x, const Context& context) const {
    Tensor y = read_rows(join_heads(z), context);
    if (post_norm_) y = (*post_norm_)(y);
    if (settings_.gate) y = ops::gelu_tanh(g_proj_(read_rows(x, context))) * y;
    return o_proj_(y);
  }

 private:
  Tensor positioned(const Tensor& x, std::int64_t position) const {
    if (settings_.rope_base <= 0) return x;
    return ops::rope(x, {.base = settings_.rope_base,
                         .interleaved = true,
                         .first = position % settings_.mini_batch,
                         .period = settings_.mini_batch});
  }

  FrameSettings settings_;
  std::int64_t d_;
  Linear q_proj_, k_proj_, v_proj_, o_proj_, g_proj_;
  ShortConv conv_q_, conv_k_;
  std::optional<LayerNorm> post_norm_;
};

/// What the layers ask of the backbone: in the Mamba backbone, where q and k share a projection, a convolution before
/// them.
inline BackboneWishes wishes(const Options& options) {
  return {.temporal_convolution = options.boolean("share_qk") ? options.integer("conv_kernel") : 0};
}

}  // namespace zoo::ttt
