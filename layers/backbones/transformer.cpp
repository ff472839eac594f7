#include "zoo/core/plugin.h"
#include "zoo/nn/backbone.h"
#include "zoo/nn/blocks.h"
#include "zoo/nn/norm.h"

namespace {

using namespace zoo;

// The blocks of Llama (Touvron et al. 2023), around any mixer:
//
//   r += mixer(norm_1(r));  r += feed_forward(norm_2(r))
//
// with RMSNorm, and a final norm behind the last one. Without a feed-forward there is no second half.
class TransformerBackbone final : public Backbone {
 public:
  TransformerBackbone(Builder& builder, BackboneParts parts) : parts_(std::move(parts)), dropout_(builder.options()) {
    const double epsilon = builder.options().real("norm_eps");
    for (std::size_t block = 0; block < parts_.mixers.size(); ++block) {
      Builder part = builder.part(fmt::format("blocks.{}.", block));
      norm_1_.emplace_back(part, "norm1", epsilon);
      if (!parts_.feed_forwards.empty()) norm_2_.emplace_back(part, "norm2", epsilon);
    }
    final_norm_.emplace_back(builder, "norm_f", epsilon);
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
  Tensor one(std::size_t block, const Tensor& x, ModelState& state, const Context& context) {
    return residual_halves(parts_, block, dropout_, x, state, context, norm_1_[block],
                           [&](const Tensor& sum) { return norm_2_[block](sum); });
  }

  BackboneParts parts_;
  ResidualDropout dropout_;
  std::vector<RmsNorm> norm_1_;
  std::vector<RmsNorm> norm_2_;
  std::vector<RmsNorm> final_norm_;
};

}  // namespace

ZOO_REGISTER_BACKBONE(transformer) {
  return {.name = "transformer",
          .description = "pre-norm blocks of a mixer and a feed-forward, with RMSNorm, as in Llama",
          .paper = "Touvron et al., LLaMA: open and efficient foundation language models, 2023",
          .options = with_norm_eps(residual_options(/*embedding_dropout=*/0), 1e-6),
          .initialization = residual_initialization,
          .make = [](Builder& builder, BackboneParts parts) -> std::unique_ptr<Backbone> {
            return std::make_unique<TransformerBackbone>(builder, std::move(parts));
          }};
}
