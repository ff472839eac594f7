#include "zoo/train/trainer.h"

#include <algorithm>
#include <cmath>

#include "zoo/core/error.h"
#include "zoo/ops/head.h"
#include "zoo/ops/ops.h"

namespace zoo {

namespace {

// Sequences [first, first + count) of a batch, as tensors.
struct Part {
  Tensor tokens;  // [count, T]
  Rows rows;
  Tensor labels;  // [R]
};

Part part_of(const Batch& batch, std::int64_t first, std::int64_t count) {
  const auto from = static_cast<std::size_t>(first);
  const auto length = static_cast<std::size_t>(batch.seq_len);
  const auto size = static_cast<std::size_t>(count);
  const auto begin = static_cast<std::size_t>(batch.offsets[from]);
  const std::size_t rows = static_cast<std::size_t>(batch.offsets[from + size]) - begin;
  const auto whole = [](const std::vector<std::int32_t>& values) { return std::span(values); };

  Part part;
  part.tokens =
      Tensor::from<std::int32_t>({count, batch.seq_len}, whole(batch.tokens).subspan(from * length, size * length));
  part.labels =
      Tensor::from<std::int32_t>({static_cast<std::int64_t>(rows)}, whole(batch.row_labels).subspan(begin, rows));
  part.rows.indices =
      Tensor::from<std::int32_t>({static_cast<std::int64_t>(rows)}, whole(batch.rows).subspan(begin, rows));
  part.rows.offsets = Tensor::from<std::int32_t>({count + 1}, whole(batch.offsets).subspan(from, size + 1));
  // Counted from the part's own first position and row.
  for (std::int64_t i = 0; i < part.rows.indices.size(); ++i) {
    part.rows.indices.data<std::int32_t>()[i] -= static_cast<std::int32_t>(first * batch.seq_len);
  }
  for (std::int64_t i = 0; i <= count; ++i) {
    part.rows.offsets.data<std::int32_t>()[i] -= static_cast<std::int32_t>(begin);
  }
  return part;
}

// Calls visit(first, count) for all parts of a batch.
template <typename Visit>
void for_each_part(const Batch& batch, std::int64_t d_model, const Visit& visit) {
  const std::int64_t size = part_size(batch.batch, batch.seq_len, d_model);
  for (std::int64_t first = 0; first < batch.batch; first += size) visit(first, std::min(size, batch.batch - first));
}

}  // namespace

std::int64_t part_size(std::int64_t batch, std::int64_t seq_len, std::int64_t d_model) {
  constexpr std::int64_t values = std::int64_t{1} << 19;  // of one activation: 2 MiB; half and double are slower
  const std::int64_t most = std::clamp<std::int64_t>(values / (seq_len * d_model), 1, batch);
  const std::int64_t parts = (batch + most - 1) / most;
  return (batch + parts - 1) / parts;
}

Trainer::Trainer(const RunSettings& settings)
    : settings_(&settings),
      model_(settings.model, settings.seed),
      optimizer_(model_.parameters(), model_.slab(), settings.optimizer) {
  for (const Parameter& parameter : model_.parameters()) variables_.push_back(parameter.value());
}

double Trainer::step(const Batch& batch, std::int64_t step) {
  const std::int64_t total_steps = settings_->epochs * settings_->steps_per_epoch();
  Context context{.training = true,
                  .progress = static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(total_steps, 1)),
                  .random = RandomKey::of(settings_->seed, "dropout").fold(static_cast<std::uint64_t>(step))};
  const double labelled = static_cast<double>(std::max<std::size_t>(batch.rows.size(), 1));
  double loss = 0;
  for_each_part(batch, settings_->model.d_model, [&](std::int64_t first, std::int64_t count) {
    const Part part = part_of(batch, first, count);
    context.first_sequence = first;
    context.rows = &part.rows;
    ModelState state = model_.initial_state(count);
    const Tensor hidden = model_.forward(part.tokens, state, context);
    const Tensor part_loss =
        ops::scale(ops::linear_cross_entropy(hidden, model_.head(), {}, part.labels), 1 / labelled);
    loss += part_loss.item();
    optimizer_.accumulate(grad(part_loss, variables_, {.release_tape = true}));
  });
  if (!std::isfinite(loss)) {
    optimizer_.discard();
    return loss;
  }
  optimizer_.step(settings_->learning_rate_at(step));
  return loss;
}

Trainer::Scores Trainer::evaluate(const Batch& batch) const {
  const NoTape off;
  Scores scores;
  for_each_part(batch, settings_->model.d_model, [&](std::int64_t first, std::int64_t count) {
    const Part part = part_of(batch, first, count);
    ModelState state = model_.initial_state(count);
    const Tensor hidden = model_.forward(part.tokens, state, {.rows = &part.rows});
    const ops::HeadScores answers = ops::score_head(hidden, model_.head(), {}, part.labels);
    for (std::size_t row = 0; row < answers.losses.size(); ++row) {
      scores.loss += answers.losses[row];
      scores.correct += answers.predictions[row] == part.labels.data<std::int32_t>()[row];
    }
    scores.labelled += part.rows.count();
  });
  return scores;
}

std::int64_t Trainer::state_bytes(const Batch& batch) const {
  const NoTape off;
  const Part part = part_of(batch, 0, 1);
  ModelState state = model_.initial_state(1);
  model_.forward(part.tokens, state, {.rows = &part.rows});
  return state.bytes();
}

}  // namespace zoo
