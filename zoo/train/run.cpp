#include "zoo/train/run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "zoo/core/batch.h"
#include "zoo/core/flops.h"
#include "zoo/core/seconds.h"
#include "zoo/train/checkpoint.h"
#include "zoo/train/settings.h"
#include "zoo/train/trainer.h"

namespace zoo {

namespace {

using Clock = std::chrono::steady_clock;

// The slice of a result: what the cell says of these examples, and what the task says of itself.
nlohmann::json slice_of(const TaskPart& part) {
  nlohmann::json slice = part.cell;
  for (const Slice& each : part.task->slices()) slice[each.name] = each.value;
  return slice;
}

// One run under way.
class TrainingRun {
 public:
  TrainingRun(const RunSpec& spec, std::string checkpoint_path, const RunCallbacks& callbacks, const RunLimits& limits)
      : id_(spec.id()),
        settings_(read_settings(spec)),
        trainer_(settings_),
        checkpoint_path_(std::move(checkpoint_path)),
        callbacks_(callbacks),
        limits_(limits),
        last_checkpoint_(Clock::now()) {
    if (auto position = read_checkpoint(checkpoint_path_, id_, &trainer_)) position_ = *position;
    resumed_seconds_ = position_.seconds;
    resumed_flops_ = position_.flops - flops_counted();
  }

  RunOutcome run() {
    while (position_.epochs < settings_.epochs && !solved() && !at(limits_.end_after)) {
      if (at(limits_.pause_after)) {
        return {.status = RunStatus::interrupted,
                .message = fmt::format("waits after epoch {} for the other learning rates", position_.epochs),
                .summary = summary(),
                .slices = {}};
      }
      if (const auto ended = train_epoch()) return *ended;
    }
    RunOutcome outcome{.status = RunStatus::done, .message = "", .summary = summary(), .slices = {}};
    if (at(limits_.end_after) && position_.epochs < settings_.epochs && !solved()) {
      outcome.message =
          fmt::format("ended after {} of {} epochs: better learning rates went on", position_.epochs, settings_.epochs);
      outcome.summary["stopped"] = "halving";
    }
    for (std::size_t i = 0; i < std::max(settings_.validation.size(), settings_.test.size()); ++i) {
      if (i < settings_.validation.size()) {
        outcome.slices.push_back(evaluate(settings_.validation[i], Split::validation));
      }
      if (i < settings_.test.size()) outcome.slices.push_back(evaluate(settings_.test[i], Split::test));
    }
    remove_checkpoint();
    return outcome;
  }

 private:
  bool solved() const {
    return settings_.stop_accuracy && position_.epochs > 0 && position_.validation_accuracy > *settings_.stop_accuracy;
  }

  bool at(std::int64_t epochs) const { return epochs > 0 && position_.epochs >= epochs; }

  // Trains to the end of the epoch that the position lies in; returns how the run ended if it did.
  std::optional<RunOutcome> train_epoch() {
    const std::int64_t epoch_steps = settings_.steps_per_epoch();
    std::int64_t step_of_epoch = 0;
    for (std::size_t which = 0; which < settings_.train.size(); ++which) {
      const TaskPart& part = settings_.train[which];
      const auto epoch = static_cast<std::uint64_t>(position_.epochs) * settings_.train.size() + which;
      const std::vector<std::uint64_t> order = order_of(part, epoch);
      const auto batch_size = static_cast<std::size_t>(settings_.batch_size);
      for (std::size_t begin = 0; begin < order.size(); begin += batch_size, ++step_of_epoch) {
        if (step_of_epoch < position_.epoch_steps) continue;  // done before the run was resumed
        const auto indices = std::span(order).subspan(begin, std::min(batch_size, order.size() - begin));
        fill_batch(*part.task, Split::train, settings_.seed, indices, batch_);
        const std::int64_t step = position_.epochs * epoch_steps + step_of_epoch;
        const double loss = trainer_.step(batch_, step);
        if (!std::isfinite(loss)) return diverged(step);
        position_.epoch_loss += loss;
        ++position_.epoch_steps;
        if (auto ended = between_steps(epoch_steps)) return ended;
      }
    }
    finish_epoch(epoch_steps);
    return std::nullopt;
  }

  // The examples of an epoch: all in another order, or, when data is fresh, ones that were never shown before.
  std::vector<std::uint64_t> order_of(const TaskPart& part, std::uint64_t epoch) const {
    if (!settings_.fresh_data) return epoch_order(settings_.seed, epoch, part.examples);
    std::vector<std::uint64_t> order(part.examples);
    std::iota(order.begin(), order.end(), static_cast<std::uint64_t>(position_.epochs) * part.examples);
    return order;
  }

  std::optional<RunOutcome> between_steps(std::int64_t epoch_steps) {
    constexpr auto checkpoint_interval = std::chrono::minutes(4);
    constexpr auto progress_interval = std::chrono::milliseconds(300);
    const Clock::time_point now = Clock::now();
    if (callbacks_.progress && now - last_progress_ > progress_interval) {
      last_progress_ = now;
      const auto done = static_cast<double>(position_.epochs * epoch_steps + position_.epoch_steps);
      callbacks_.progress({.epoch = position_.epochs + 1,
                           .fraction = done / static_cast<double>(settings_.epochs * epoch_steps),
                           .train_loss = position_.epoch_loss / static_cast<double>(position_.epoch_steps)});
    }
    const bool stop = callbacks_.stop_requested && callbacks_.stop_requested();
    if (stop || now - last_checkpoint_ > checkpoint_interval) checkpoint();
    if (!stop) return std::nullopt;
    return RunOutcome{.status = RunStatus::interrupted,
                      .message = fmt::format("stopped in epoch {}", position_.epochs + 1),
                      .summary = summary(),
                      .slices = {}};
  }

  void finish_epoch(std::int64_t epoch_steps) {
    Scores scores;
    for (const TaskPart& part : settings_.validation) scores += score(part, Split::validation);
    EpochResult result{.epoch = position_.epochs + 1,
                       .train_loss = position_.epoch_loss / static_cast<double>(epoch_steps),
                       .validation_loss = scores.all.mean_loss(),
                       .validation_accuracy = scores.all.accuracy(),
                       .learning_rate = settings_.learning_rate_at(position_.epochs * epoch_steps),
                       .seconds = seconds()};
    ++position_.epochs;
    position_.epoch_steps = 0;
    position_.epoch_loss = 0;
    position_.validation_accuracy = result.validation_accuracy;
    // The store learns of an epoch before the checkpoint does: a run killed in between trains it again and says so
    // again, but never leaves it out.
    if (callbacks_.epoch) callbacks_.epoch(result);
    checkpoint();
  }

  RunOutcome diverged(std::int64_t step) {
    remove_checkpoint();
    return {.status = RunStatus::diverged,
            .message = fmt::format("the loss was not finite at step {} (epoch {})", step, position_.epochs + 1),
            .summary = summary(),
            .slices = {}};
  }

  Scores score(const TaskPart& part, Split split) {
    // Long sequences a few at a time, whatever the batch size.
    const auto positions = static_cast<std::uint64_t>(part.task->seq_len());
    const std::uint64_t at_once =
        std::clamp<std::uint64_t>(most_positions / positions, 1, static_cast<std::uint64_t>(settings_.batch_size));
    const double flops = flops_counted();
    Scores total;
    std::vector<std::uint64_t> indices;
    for (std::uint64_t first = 0; first < part.examples; first += indices.size()) {
      indices.resize(std::min(at_once, part.examples - first));
      std::iota(indices.begin(), indices.end(), first);
      fill_batch(*part.task, split, settings_.seed, indices, batch_);
      total += trainer_.evaluate(batch_);
    }
    evaluation_flops_ += flops_counted() - flops;
    return total;
  }

  SliceResult evaluate(const TaskPart& part, Split split) {
    const Scores scores = score(part, split);
    const std::uint64_t one[] = {0};
    fill_batch(*part.task, split, settings_.seed, one, batch_);
    return {.split = std::string(split_name(split)),
            .slice = slice_of(part),
            .accuracy = scores.all.accuracy(),
            .loss = scores.all.mean_loss(),
            .state_bytes = trainer_.state_bytes(batch_),
            .labelled = scores.all.labelled,
            .metrics = metrics_of(*part.task, scores)};
  }

  double seconds() const { return resumed_seconds_ + seconds_since(began_); }
  double flops() const { return resumed_flops_ + flops_counted() - evaluation_flops_; }

  nlohmann::json summary() const {
    return {{"parameters", count_values(trainer_parameters())},
            {"flops", flops()},
            {"epochs", position_.epochs},
            {"train_seconds", seconds()}};
  }

  const Parameters& trainer_parameters() const { return const_cast<Trainer&>(trainer_).model().parameters(); }

  void checkpoint() {
    last_checkpoint_ = Clock::now();
    if (checkpoint_path_.empty()) return;
    position_.seconds = seconds();
    position_.flops = flops();
    write_checkpoint(checkpoint_path_, id_, trainer_, position_);
  }

  void remove_checkpoint() const {
    std::error_code ignored;
    if (!checkpoint_path_.empty()) std::filesystem::remove(checkpoint_path_, ignored);
  }

  static constexpr std::uint64_t most_positions = std::uint64_t{1} << 22;  // of a batch that is evaluated at once

  std::string id_;
  RunSettings settings_;
  Trainer trainer_;
  std::string checkpoint_path_;
  const RunCallbacks& callbacks_;
  RunLimits limits_;
  RunPosition position_;
  Batch batch_;
  Clock::time_point began_ = Clock::now();
  Clock::time_point last_checkpoint_;
  Clock::time_point last_progress_;
  double resumed_seconds_ = 0;
  double resumed_flops_ = 0;
  double evaluation_flops_ = 0;
};

}  // namespace

RunOutcome execute_run(const RunSpec& spec, const std::string& checkpoint_path, const RunCallbacks& callbacks,
                       const RunLimits& limits) {
  return TrainingRun(spec, checkpoint_path, callbacks, limits).run();
}

std::int64_t checkpoint_epochs(const RunSpec& spec, const std::string& checkpoint_path) {
  const auto position = read_checkpoint(checkpoint_path, spec.id(), nullptr);
  return position ? position->epochs : 0;
}

RunEstimate estimate_run(const RunSpec& spec) {
  const RunSettings settings = read_settings(spec);
  Trainer trainer(settings);
  RunEstimate estimate;
  estimate.parameters = count_values(trainer.model().parameters());
  Batch batch;
  const std::uint64_t one[] = {0};
  for (const TaskPart& part : settings.test) {
    // What a million tokens leave in a state takes minutes to find, and hours in a layer of quadratic time.
    constexpr std::int64_t longest = 8192;
    if (part.task->seq_len() > longest && estimate.state_bytes > 0) continue;
    fill_batch(*part.task, Split::test, settings.seed, one, batch);
    estimate.state_bytes = std::max(estimate.state_bytes, trainer.state_bytes(batch));
  }
  for (const TaskPart& part : settings.train) {
    fill_batch(*part.task, Split::train, settings.seed, one, batch);
    const double before = flops_counted();
    trainer.step(batch, 0);
    estimate.flops +=
        (flops_counted() - before) * static_cast<double>(part.examples) * static_cast<double>(settings.epochs);
  }
  return estimate;
}

}  // namespace zoo
