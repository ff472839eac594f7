#pragma once

#include <cmath>
#include <cstdint>

#include "zoo/core/recompute.h"
#include "zoo/nn/backbone.h"
#include "zoo/nn/sequence_state.h"
#include "zoo/ops/ops.h"

/// What backbones of residual blocks share. A block adds what its mixer makes to the stream of residuals, then what its
/// feed-forward makes of the sum. The second half looks at one position at a time (most feed-forwards do), so that in
/// the last block it is computed for the rows that somebody reads, and for no others.
namespace zoo {

/// The context of a block: random numbers of its own, and the rows in the last block alone, where nothing after its
/// mixer looks at other positions.
inline Context block_context(const BackboneParts& parts, std::size_t block, const Context& context) {
  const bool last = block + 1 == parts.mixers.size();
  const bool positionwise = parts.feed_forwards.empty() || parts.feed_forwards[block]->positionwise();
  Context own = context;
  own.random = context.random.fold(block + 1);
  own.rows = last && positionwise ? context.rows : nullptr;
  return own;
}

/// The rows that are read of x [B,T,D], unless they have been taken before, when it is [R,D].
inline Tensor read_rows_once(const Tensor& x, const Context& context) {
  return x.rank() == 3 ? read_rows(x, context) : x;
}

/// Runs a feed-forward on x [B,T,D], or on rows alone, [R,D]: to one that works position by position, a sequence of R.
inline Tensor apply_feed_forward(Layer& layer, const Tensor& x, State& state, Context context) {
  if (x.rank() == 3) return run(layer, x, state, context);
  context.rows = nullptr;
  return ops::reshape(run(layer, ops::reshape(x, {1, x.dim(0), x.dim(1)}), state, context), x.shape());
}

/// block(r, state) of the residuals r [B,T,D], kept or, when the context says so, computed again for its gradient.
template <typename Block>
Tensor run_block(const Tensor& r, ModelState& state, const Context& context, const Block& block) {
  if (!context.recompute) return block(r, state);
  return recompute(
      [block, initial = state](const Tensor& x) {
        ModelState own = initial;
        return block(x, own);
      },
      r);
}

/// Dropout of the embedding and of what blocks add to the residuals.
class ResidualDropout {
 public:
  explicit ResidualDropout(const Options& options)
      : embedding_(options.real("embedding_dropout")), residual_(options.real("dropout")) {}

  Tensor embedding(const Tensor& x, const Context& context) const { return apply(x, embedding_, context, 0); }
  /// `addend` counts what a block adds, from 1. `context` is the block's.
  Tensor residual(const Tensor& x, const Context& context, std::uint64_t addend) const {
    return apply(x, residual_, context, addend);
  }

 private:
  // Elements of whole sequences are numbered by their place in the whole batch. On rows alone they have none, so the
  // key says which part of the batch this is.
  static Tensor apply(const Tensor& x, double probability, const Context& context, std::uint64_t purpose) {
    if (!context.training || probability == 0) return x;
    const RandomKey key = context.random.fold(purpose);
    const auto first = static_cast<std::uint64_t>(context.first_sequence);
    if (x.rank() == 2) return ops::dropout(x, probability, key.fold(first));
    return ops::dropout(x, probability, key, first * static_cast<std::uint64_t>(x.dim(1) * x.dim(2)));
  }

  double embedding_;
  double residual_;
};

/// The two halves of a block, x + mixer(norm_1(x)), and with a feed-forward r + feed_forward(norm_2(r)) of that sum r.
/// The norms are what takes a tensor and gives one.
template <typename Norm1, typename Norm2>
Tensor residual_halves(const BackboneParts& parts, std::size_t block, const ResidualDropout& dropout, const Tensor& x,
                       ModelState& state, const Context& context, const Norm1& norm_1, const Norm2& norm_2) {
  Tensor h = run(*parts.mixers[block], norm_1(x), state.mixers[block], context);
  const Tensor r = read_rows(x, context) + dropout.residual(h, context, 1);
  if (parts.feed_forwards.empty()) return r;
  h = apply_feed_forward(*parts.feed_forwards[block], norm_2(r), state.feed_forwards[block], context);
  return r + dropout.residual(h, context, 2);
}

/// The options of a backbone of residual blocks.
inline OptionSchema residual_options(double embedding_dropout) {
  OptionSchema schema;
  schema.real("embedding_dropout", embedding_dropout, {0, 0.99}, "probability of dropping a channel of the embedding")
      .real("dropout", 0, {0, 0.99}, "probability of dropping a channel of what a block adds")
      .real("initial_scale", 1, {1e-3, 1e3}, "factor on the deviations 0.02 that weights and embeddings start from");
  return schema;
}

/// Adds the option norm_eps, what every norm of a backbone adds to the mean square before the root.
inline OptionSchema with_norm_eps(OptionSchema schema, double norm_eps) {
  return schema.real("norm_eps", norm_eps, {0, 1}, "epsilon of the norms").left_out_at_default();
}

/// N(0, 0.02), and output projections N(0, 0.02 / sqrt(2 blocks)), so that the sum of what 2 blocks' halves add starts
/// as large as one of them (Radford et al. 2019, section 2.3); times the option initial_scale.
inline Initialization residual_initialization(const Options& options, std::int64_t blocks) {
  const double deviation = 0.02 * options.real("initial_scale");
  return {.linear_weight = deviation,
          .output_projection = deviation / std::sqrt(2.0 * static_cast<double>(blocks)),
          .embedding = deviation};
}

}  // namespace zoo
