#include <optional>

#include "zoo/core/plugin.h"
#include "zoo/nn/backbone.h"
#include "zoo/nn/blocks.h"
#include "zoo/nn/norm.h"
#include "zoo/nn/short_conv.h"

namespace {

using namespace zoo;

// The blocks of Mamba (Gu and Dao 2023), r += mixer(norm(r)) with RMSNorm, and a final norm. A layer may ask for a
// temporal convolution before it, depthwise and causal: r += conv(norm_c(r)) (Sun et al. 2024, "Learning to (learn at
// test time)", section 2.7); the option conv_kernel puts one before every layer. With a feed-forward, a second half
// follows: r += feed_forward(norm_2(r)).
class MambaBackbone final : public Backbone {
 public:
  MambaBackbone(Builder& builder, BackboneParts parts) : parts_(std::move(parts)), dropout_(builder.options()) {
    const double epsilon = builder.options().real("norm_eps");
    const double convolution_epsilon = builder.options().real("conv_norm_eps");
    const std::int64_t everywhere = builder.options().integer("conv_kernel");
    for (std::size_t block = 0; block < parts_.mixers.size(); ++block) {
      Builder part = builder.part(fmt::format("blocks.{}.", block));
      convolutions_.emplace_back();
      const std::int64_t kernel = everywhere > 0 ? everywhere : parts_.wishes[block].temporal_convolution;
      if (kernel > 0) {
        convolutions_.back() = TemporalConvolution{.norm = RmsNorm(part, "conv.norm", convolution_epsilon),
                                                   .conv = ShortConv(part, "conv.conv", part.d_model(), kernel)};
      }
      norm_.emplace_back(part, "norm", epsilon);
      if (!parts_.feed_forwards.empty()) norm_2_.emplace_back(part, "norm2", epsilon);
    }
    final_norm_.emplace_back(builder, "norm_f", epsilon);
  }

  PoolVector<State> initial_state(std::int64_t batch) const override {
    PoolVector<State> states(convolutions_.size());
    for (std::size_t block = 0; block < convolutions_.size(); ++block) {
      if (convolutions_[block]) convolutions_[block]->conv.start(states[block], batch);
    }
    return states;
  }

  Tensor forward(const Tensor& x, ModelState& state, const Context& context) override {
    Tensor r = dropout_.embedding(x, context);
    for (std::size_t block = 0; block < parts_.mixers.size(); ++block) {
      const Context own = block_context(parts_, block, context);
      r = run_block(r, state, own, [=, this](const Tensor& input, ModelState& own_state) {
        return one(block, input, own_state, own);
      });
    }
    return final_norm_[0](read_rows_once(r, context));
  }

 private:
  struct TemporalConvolution {
    RmsNorm norm;
    ShortConv conv;
  };

  Tensor one(std::size_t block, const Tensor& x, ModelState& state, const Context& context) {
    Tensor r = x;
    if (const auto& before = convolutions_[block]) {
      r = r + dropout_.residual(before->conv(before->norm(r), state.backbone[block]), context, 3);
    }
    return residual_halves(parts_, block, dropout_, r, state, context, norm_[block],
                           [&](const Tensor& sum) { return norm_2_[block](sum); });
  }

  BackboneParts parts_;
  ResidualDropout dropout_;
  std::vector<std::optional<TemporalConvolution>> convolutions_;  // of the blocks whose layers ask for one
  std::vector<RmsNorm> norm_;
  std::vector<RmsNorm> norm_2_;
  std::vector<RmsNorm> final_norm_;
};

}  // namespace

ZOO_REGISTER_BACKBONE(mamba) {
  return {.name = "mamba",
          .description = "Mamba's: RMSNorm, mixer, residual, and a convolution before a layer that asks for one",
          .paper = "Gu and Dao, Mamba: linear-time sequence modeling with selective state spaces, 2023",
          .options = with_norm_eps(residual_options(/*embedding_dropout=*/0), 1e-5)
                         .real("conv_norm_eps", 1e-6, {0, 1}, "epsilon of the norm before a convolution")
                         .left_out_at_default()
                         .integer("conv_kernel", 0, {0, 4096}, "taps of a convolution before every layer; 0 = as asked")
                         .left_out_at_default(),
          .initialization = residual_initialization,
          .make = [](Builder& builder, BackboneParts parts) -> std::unique_ptr<Backbone> {
            return std::make_unique<MambaBackbone>(builder, std::move(parts));
          }};
}
