#include "zoo/lm/trainer.h"

#include <algorithm>
#include <cmath>

#include "zoo/core/graph_scope.h"
#include "zoo/core/tape.h"
#include "zoo/ops/ops.h"

namespace zoo {

namespace {

// What a model reads of sequences of T + 1 tokens, [n,T], and what it is asked for, [n T].
struct Pairs {
  Tensor inputs;
  Tensor labels;
};

Pairs pairs_of(std::span<const std::int32_t> tokens, std::int64_t length) {
  const std::int64_t count = static_cast<std::int64_t>(tokens.size()) / (length + 1);
  PoolVector<std::int32_t> inputs, labels;
  for (auto* each : {&inputs, &labels}) each->reserve(static_cast<std::size_t>(count * length));
  for (std::int64_t i = 0; i < count; ++i) {
    const auto sequence =
        tokens.subspan(static_cast<std::size_t>(i * (length + 1)), static_cast<std::size_t>(length + 1));
    inputs.insert(inputs.end(), sequence.begin(), sequence.end() - 1);
    labels.insert(labels.end(), sequence.begin() + 1, sequence.end());
  }
  return {.inputs = Tensor::from<std::int32_t>({count, length}, inputs),
          .labels = Tensor::from<std::int32_t>({count * length}, labels)};
}

}  // namespace

LmTrainer::LmTrainer(const LmSettings& settings, const LmExecution& execution, Collective& ranks)
    : settings_(&settings),
      execution_(execution),
      ranks_(&ranks),
      sum_gradients_(ranks),
      model_(settings.model, settings.seed),
      optimizer_(model_.parameters(), model_.slab(), settings.optimizer) {
  for (const Parameter& parameter : model_.parameters()) variables_.push_back(parameter.value());
}

LmTrainer::StepResult LmTrainer::step(std::span<const std::int32_t> tokens, std::int64_t first, std::int64_t step,
                                      const std::function<bool(std::int64_t done)>& go_on) {
  const WithPrecision precision(settings_->precision);
  const std::int64_t T = settings_->context;
  const std::int64_t count = static_cast<std::int64_t>(tokens.size()) / (T + 1);
  const double all_tokens = static_cast<double>(settings_->batch_sequences * T);
  double loss = 0;
  for (std::int64_t begin = 0; begin < count; begin += execution_.micro_batch) {
    if (go_on && !go_on(begin)) {
      optimizer_.discard();
      return {.ended = false};
    }
    const std::int64_t n = std::min(execution_.micro_batch, count - begin);
    const Pairs pairs =
        pairs_of(tokens.subspan(static_cast<std::size_t>(begin * (T + 1)), static_cast<std::size_t>(n * (T + 1))), T);
    const Context context{.training = true,
                          .progress = static_cast<double>(step) / static_cast<double>(settings_->steps),
                          .random = RandomKey::of(settings_->seed, "dropout").fold(static_cast<std::uint64_t>(step)),
                          .first_sequence = first + begin,
                          .recompute = execution_.recompute};
    // The host looks at the loss once the whole micro-batch is under way.
    Tensor part;
    {
      const GraphScope graph(begin == 0 ? StepPart::first_part : StepPart::other_part);
      ModelState state = model_.initial_state(n);
      const Tensor hidden = model_.forward(pairs.inputs, state, context);
      const Tensor flat = ops::reshape(hidden, {n * T, hidden.dim(2)});
      part = ops::scale(model_.head().loss(flat, {.labels = pairs.labels, .targets = {}}), 1 / all_tokens);
      state = {};  // lets go of what the states hold of the tape
      optimizer_.accumulate(grad(part, variables_, {.release_tape = true}));
    }
    loss += part.item();
  }
  ranks_->sum(std::span(&loss, 1));
  if (!std::isfinite(loss)) {
    optimizer_.discard();
    return {.loss = loss};
  }
  sum_gradients_(optimizer_.gradients());
  const GraphScope graph(StepPart::update);
  return {.loss = loss, .gradient_norm = optimizer_.step(settings_->learning_rate_at(step))};
}

}  // namespace zoo
