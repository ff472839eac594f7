#include "zoo/train/trainer.h"

#include <algorithm>
#include <cmath>

#include "zoo/core/error.h"
#include "zoo/core/graph_scope.h"
#include "zoo/ops/ops.h"

namespace zoo {

namespace {

// Calls visit(first, count) for all parts of a batch.
template <typename Visit>
void for_each_part(const Batch& batch, std::int64_t chunk, std::int64_t d_model, const Visit& visit) {
  const std::int64_t size = part_size(batch, chunk, d_model);
  for (std::int64_t first = 0; first < batch.batch; first += size) visit(first, std::min(size, batch.batch - first));
}

}  // namespace

Trainer::Trainer(const RunSettings& settings)
    : settings_(&settings),
      model_(settings.model, settings.seed),
      optimizer_(model_.parameters(), model_.slab(), settings.optimizer) {
  for (const Parameter& parameter : model_.parameters()) variables_.push_back(parameter.value());
}

double Trainer::step(const Batch& batch, std::int64_t step) {
  const WithPrecision precision(settings_->precision);
  const std::int64_t total_steps = settings_->epochs * settings_->steps_per_epoch();
  Context context{.training = true,
                  .progress = static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(total_steps, 1)),
                  .random = RandomKey::of(settings_->seed, "dropout").fold(static_cast<std::uint64_t>(step))};
  const double labelled = static_cast<double>(std::max<std::size_t>(batch.row_labels.size(), 1));
  double loss = 0;
  for_each_part(batch, batch.seq_len, settings_->model.d_model, [&](std::int64_t first, std::int64_t count) {
    const Part part = part_of(batch, {.first = first, .count = count, .begin = 0, .end = batch.seq_len});
    context.first_sequence = first;
    context.rows = &part.rows;
    // The host looks at the loss once the whole part is under way.
    Tensor part_loss;
    {
      const GraphScope graph(first == 0 ? StepPart::first_part : StepPart::other_part);
      ModelState state = model_.initial_state(count);
      const Tensor hidden = model_.forward(part.inputs, state, context);
      part_loss = ops::scale(model_.head().loss(hidden, part.answers), 1 / labelled);
      optimizer_.accumulate(grad(part_loss, variables_, {.release_tape = true}));
    }
    loss += part_loss.item();
  });
  if (!std::isfinite(loss)) {
    optimizer_.discard();
    return loss;
  }
  const GraphScope graph(StepPart::update);
  optimizer_.step(settings_->learning_rate_at(step));
  return loss;
}

Scores Trainer::evaluate(const Batch& batch) const {
  const NoTape off;
  const WithPrecision precision(settings_->precision);
  Scores scores;
  std::vector<std::uint8_t> wrong(batch.label_offsets.size() - 1, 0);  // examples with a wrong answer
  const std::int64_t chunk = std::min(batch.seq_len, longest_chunk);
  for_each_part(batch, chunk, settings_->model.d_model, [&](std::int64_t first, std::int64_t count) {
    ModelState state = model_.initial_state(count);
    for (std::int64_t begin = 0; begin < batch.seq_len; begin += chunk) {
      const std::int64_t end = std::min(begin + chunk, batch.seq_len);
      const Part part = part_of(batch, {.first = first, .count = count, .begin = begin, .end = end});
      const Tensor hidden = model_.forward(part.inputs, state, {.rows = &part.rows});
      if (part.positions.size() == 0) continue;
      const Head::Scores answered = model_.head().score(hidden, part.answers);
      for (std::int64_t i = 0; i < part.positions.size(); ++i) {
        const double loss = answered.losses[static_cast<std::size_t>(i)];
        const bool right = answered.right[static_cast<std::size_t>(i)] != 0;
        const auto label = static_cast<std::size_t>(part.positions.data<std::int32_t>()[i]);
        scores.all.add(loss, right);
        scores.classes[batch.row_labels[label]].add(loss, right);
        if (!batch.row_groups.empty()) {
          const auto group = static_cast<std::size_t>(batch.row_groups[label]);
          if (group >= scores.groups.size()) scores.groups.resize(group + 1);
          scores.groups[group].add(loss, right);
        }
        if (!right) {
          const auto after = std::ranges::upper_bound(batch.label_offsets, static_cast<std::int32_t>(label));
          wrong[static_cast<std::size_t>(after - batch.label_offsets.begin()) - 1] = 1;
        }
      }
    }
  });
  scores.sequences = std::ssize(wrong);
  scores.sequences_correct = std::ranges::count(wrong, 0);
  return scores;
}

std::int64_t Trainer::state_bytes(const Batch& batch) const {
  const NoTape off;
  const WithPrecision precision(settings_->precision);
  ModelState state = model_.initial_state(1);
  for (std::int64_t begin = 0; begin < batch.seq_len; begin += longest_chunk) {
    const std::int64_t end = std::min(begin + longest_chunk, batch.seq_len);
    const Part part = part_of(batch, {.first = 0, .count = 1, .begin = begin, .end = end});
    model_.forward(part.inputs, state, {.rows = &part.rows});
  }
  return state.bytes();
}

}  // namespace zoo
