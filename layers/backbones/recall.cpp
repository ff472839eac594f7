#include <cmath>

#include "zoo/core/plugin.h"
#include "zoo/nn/backbone.h"
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
  RecallBackbone(Builder& builder, BackboneParts parts)
      : parts_(std::move(parts)),
        embedding_dropout_(builder.options().real("embedding_dropout")),
        dropout_(builder.options().real("dropout")) {
    for (std::size_t block = 0; block < parts_.mixers.size(); ++block) {
      norm_1_.emplace_back(builder, fmt::format("blocks.{}.norm1", block), 1e-5);
      norm_2_.emplace_back(builder, fmt::format("blocks.{}.norm2", block), 1e-5);
    }
    final_norm_.emplace_back(builder, "norm_f", 1e-5);
  }

  Tensor forward(const Tensor& x, ModelState& state, const Context& context) override {
    const auto first = static_cast<std::uint64_t>(context.first_sequence * x.dim(1) * x.dim(2));
    Tensor residual = dropout(x, embedding_dropout_, context, 0, first);
    for (std::size_t block = 0; block < parts_.mixers.size(); ++block) {
      const bool last = block + 1 == parts_.mixers.size();
      Layer* feed_forward = parts_.feed_forwards.empty() ? nullptr : parts_.feed_forwards[block].get();
      // What comes after the last mixer works position by position, so the rows that are read are enough for it.
      const bool rows_here = last && context.rows != nullptr && (!feed_forward || feed_forward->positionwise());

      Context own = context;
      own.random = context.random.fold(block + 1);
      own.rows = rows_here ? context.rows : nullptr;
      Tensor h = run(*parts_.mixers[block], norm_1_[block](residual), state.mixers[block], own);
      if (rows_here) residual = gather(residual, *context.rows);
      const std::uint64_t offset = rows_here ? 0 : first;
      residual = residual + dropout(h, dropout_, own, 1, offset);

      h = norm_2_[block](residual);
      if (feed_forward) h = apply_feed_forward(*feed_forward, h, state.feed_forwards[block], own);
      residual = residual + dropout(h, dropout_, own, 2, offset);
      if (last && context.rows != nullptr && !rows_here) residual = gather(residual, *context.rows);
    }
    return final_norm_[0](residual);
  }

 private:
  static Tensor gather(const Tensor& x, const Rows& rows) {
    return ops::gather_rows(ops::reshape(x, {-1, x.dim(-1)}), rows.indices);
  }

  // On rows alone, x is [R,D]: one sequence of R positions to a feed-forward that works position by position.
  static Tensor apply_feed_forward(Layer& layer, const Tensor& x, State& state, Context context) {
    if (x.rank() == 3) return run(layer, x, state, context);
    context.rows = nullptr;
    return ops::reshape(run(layer, ops::reshape(x, {1, x.dim(0), x.dim(1)}), state, context), x.shape());
  }

  // On rows alone the elements have no place in the whole batch, so the key says which part of the batch this is.
  static Tensor dropout(const Tensor& x, double probability, const Context& context, std::uint64_t purpose,
                        std::uint64_t first) {
    if (!context.training || probability == 0) return x;
    RandomKey key = context.random.fold(purpose);
    if (context.rows != nullptr && x.rank() == 2) key = key.fold(static_cast<std::uint64_t>(context.first_sequence));
    return ops::dropout(x, probability, key, first);
  }

  BackboneParts parts_;
  double embedding_dropout_;
  double dropout_;
  std::vector<LayerNorm> norm_1_;
  std::vector<LayerNorm> norm_2_;
  std::vector<LayerNorm> final_norm_;
};

}  // namespace

ZOO_REGISTER_BACKBONE(recall) {
  return {
      .name = "recall",
      .description = "Zoology's: pre-norm blocks whose second norm stands even without a feed-forward",
      .paper = "Arora et al., Zoology: Measuring and improving recall in efficient language models, 2023",
      .options = OptionSchema()
                     .real("embedding_dropout", 0.1, {0, 0.99}, "probability of dropping a channel of the embedding")
                     .real("dropout", 0, {0, 0.99}, "probability of dropping a channel of what a block adds")
                     .real("initial_scale", 1, {1e-3, 1e3},
                           "factor on the deviations 0.02 that weights and embeddings start from"),
      .initialization =
          [](const Options& options, std::int64_t blocks) {
            const double deviation = 0.02 * options.real("initial_scale");
            return Initialization{.linear_weight = deviation,
                                  .output_projection = deviation / std::sqrt(2.0 * static_cast<double>(blocks)),
                                  .embedding = deviation};
          },
      .make = [](Builder& builder, BackboneParts parts) -> std::unique_ptr<Backbone> {
        return std::make_unique<RecallBackbone>(builder, std::move(parts));
      }};
}
