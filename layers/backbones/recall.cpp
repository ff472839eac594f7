#include "zoo/core/plugin.h"
#include "zoo/nn/backbone.h"
#include "zoo/nn/blocks.h"
#include "zoo/nn/norm.h"
#include "zoo/ops/ops.h"

namespace {

using namespace zoo;

// Zoology's language model (Arora et al. 2023, "Zoology: Measuring and improving recall in efficient language models"):
//
//   r = dropout_e(x);  for each block:  r += dropout(mixer(norm_1(r)));  r += dropout(feed_forward(norm_2(r)))
//
// then the final norm. Without a feed-forward its norm stands: r += dropout(norm_2(r)).
class RecallBackbone final : public Backbone {
 public:
  RecallBackbone(Builder& builder, BackboneParts parts) : parts_(std::move(parts)), dropout_(builder.options()) {
    const double epsilon = builder.options().real("norm_eps");
    for (std::size_t block = 0; block < parts_.mixers.size(); ++block) {
      norm_1_.emplace_back(builder, fmt::format("blocks.{}.norm1", block), epsilon);
      norm_2_.emplace_back(builder, fmt::format("blocks.{}.norm2", block), epsilon);
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
    Tensor h = run(*parts_.mixers[block], norm_1_[block](x), state.mixers[block], context);
    const Tensor r = read_rows(x, context) + dropout_.residual(h, context, 1);
    h = norm_2_[block](r);
    if (!parts_.feed_forwards.empty()) {
      h = apply_feed_forward(*parts_.feed_forwards[block], h, state.feed_forwards[block], context);
    }
    return r + dropout_.residual(h, context, 2);
  }

  BackboneParts parts_;
  ResidualDropout dropout_;
  std::vector<LayerNorm> norm_1_;
  std::vector<LayerNorm> norm_2_;
  std::vector<LayerNorm> final_norm_;
};

}  // namespace

ZOO_REGISTER_BACKBONE(recall) {
  return {.name = "recall",
          .description = "Zoology's: pre-norm blocks whose second norm stands even without a feed-forward",
          .paper = "Arora et al., Zoology: Measuring and improving recall in efficient language models, 2023",
          .options = with_norm_eps(residual_options(/*embedding_dropout=*/0.1), 1e-5),
          .initialization = residual_initialization,
          .make = [](Builder& builder, BackboneParts parts) -> std::unique_ptr<Backbone> {
            return std::make_unique<RecallBackbone>(builder, std::move(parts));
          }};
}
