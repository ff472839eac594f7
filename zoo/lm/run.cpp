#include "zoo/lm/run.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/core/pool.h"
#include "zoo/core/seconds.h"
#include "zoo/lm/checkpoint.h"
#include "zoo/lm/evaluation.h"
#include "zoo/lm/sequences.h"

namespace zoo {

namespace {

using Clock = std::chrono::steady_clock;

// One run under way.
class LmTraining {
 public:
  LmTraining(const RunSpec& spec, const Corpus& corpus, const LmRunOptions& options, const LmCallbacks& callbacks,
             Collective& ranks)
      : spec_(spec),
        settings_(read_lm_settings(spec)),
        corpus_(corpus),
        options_(options),
        callbacks_(callbacks),
        ranks_(ranks),
        train_(corpus, Split::train, settings_.context),
        validation_(corpus, Split::validation, settings_.context),
        order_(settings_.seed, train_.count()),
        trainer_(settings_, options.execution, ranks) {
    resume();
  }

  LmOutcome run() {
    if (leads()) log_.emplace(options_.folder, position_.step, position_.step == settings_.steps);
    if (leads() && callbacks_.begin) callbacks_.begin(position_.step);
    reset_pool_peak();
    last_checkpoint_ = Clock::now();
    while (position_.step < settings_.steps) {
      const std::optional<LmStep> ended = train_step();
      if (!ended) return interrupted();
      const LmStep& step = *ended;
      if (!std::isfinite(step.loss)) return diverged();
      if (leads()) {
        log_->add(step);
        if (callbacks_.step) callbacks_.step(step);
        if (step.step % settings_.evaluate_every == 0 && step.step < settings_.steps) evaluate(step);
      }
      if (stop_requested()) return interrupted();
      if (checkpoint_due()) checkpoint();
    }
    return finish();
  }

 private:
  bool leads() const { return ranks_.rank() == 0; }

  // The same step on every rank: they must see the same folder.
  void resume() {
    read_newest();
    double steps = static_cast<double>(position_.step);
    ranks_.sum(std::span(&steps, 1));
    if (steps != static_cast<double>(position_.step * ranks_.size())) {
      throw Error(
          "rank {} found a checkpoint of step {}, other ranks found others; the folder {} must be the same for "
          "all of them",
          ranks_.rank(), position_.step, options_.folder.string());
    }
  }

  void read_newest() {
    for (const auto& checkpoint : list_lm_checkpoints(options_.folder / "checkpoints")) {
      try {
        position_ = read_lm_checkpoint(checkpoint, spec_.id(), trainer_);
        return;
      } catch (const Error& problem) {
        if (leads() && callbacks_.warning) {
          callbacks_.warning(fmt::format("a checkpoint cannot be used: {}", problem.what()));
        }
      }
    }
  }

  // Nothing when it was given up.
  std::optional<LmStep> train_step() {
    const std::int64_t T = settings_.context;
    const std::int64_t B = settings_.batch_sequences;
    const std::int64_t first = B * ranks_.rank() / ranks_.size();
    const std::int64_t last = B * (ranks_.rank() + 1) / ranks_.size();
    const Clock::time_point began = Clock::now();
    double flops = flops_counted();
    std::uint64_t hash = 0;
    tokens_.resize(static_cast<std::size_t>((last - first) * (T + 1)));
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t place = position_.step * B + i;
      const auto sequence =
          std::span(tokens_).subspan(static_cast<std::size_t>((i - first) * (T + 1)), static_cast<std::size_t>(T + 1));
      train_.read(order_.at(place), sequence);
      hash += hash_sequence(sequence, place);
    }
    const auto go_on = [&](std::int64_t done) {
      if (leads() && callbacks_.part) callbacks_.part(position_.step + 1, done, last - first);
      // Ranks that stop at different places would wait for each other.
      return ranks_.size() > 1 || !callbacks_.stop_requested || !callbacks_.stop_requested();
    };
    const LmTrainer::StepResult result = trainer_.step(tokens_, first, position_.step, go_on);
    if (!result.ended) return std::nullopt;
    flops = flops_counted() - flops;
    ranks_.sum(std::span(&flops, 1));
    ranks_.sum(std::span(&hash, 1));
    const double seconds = seconds_since(began);
    LmStep step{.step = position_.step + 1,
                .loss = result.loss,
                .learning_rate = settings_.learning_rate_at(position_.step),
                .gradient_norm = result.gradient_norm,
                .tokens = (position_.step + 1) * B * T,
                .tokens_per_second = static_cast<double>(B * T) / seconds};
    position_.flops += flops;
    position_.seconds += seconds;
    if (std::isfinite(result.loss)) {
      position_.data_hash += hash;
      ++position_.step;
    }
    step.flops = position_.flops;
    step.seconds = position_.seconds;
    return step;
  }

  std::int64_t validation_sequences() const {
    return std::min(validation_.count(), std::max<std::int64_t>(settings_.validation_tokens / settings_.context, 1));
  }

  // Of the model as it is; FLOPs of evaluations are not of training.
  LmScores score(const RecallTokens* recall) {
    const WithPrecision precision(settings_.precision);
    return evaluate_lm(trainer_.model(), validation_, validation_sequences(), recall);
  }

  void evaluate(const LmStep& step) {
    const LmScores scores = score(nullptr);
    const LmEvaluation evaluation{.step = step.step, .loss = scores.all.mean(), .perplexity = scores.perplexity()};
    log_->add(evaluation);
    if (callbacks_.evaluation) callbacks_.evaluation(evaluation, step);
  }

  LmOutcome finish() {
    LmOutcome outcome{.status = RunStatus::done, .message = "", .summary = summary(), .slices = {}};
    if (!leads()) return outcome;
    checkpoint();
    const RecallTokens recall(corpus_);
    const LmScores scores = score(&recall);
    const LmEvaluation evaluation{.step = position_.step, .loss = scores.all.mean(), .perplexity = scores.perplexity()};
    log_->add(evaluation);
    LmStep last{.step = position_.step, .seconds = position_.seconds};
    last.learning_rate = settings_.learning_rate_at(settings_.steps - 1);
    if (callbacks_.evaluation) callbacks_.evaluation(evaluation, last);
    outcome.slices.push_back(lm_result(scores, settings_.context, state_bytes()));
    return outcome;
  }

  std::int64_t state_bytes() {
    const NoTape off;
    ModelState state = trainer_.model().initial_state(1);
    tokens_.resize(static_cast<std::size_t>(settings_.context + 1));
    validation_.read(0, tokens_);
    const auto inputs = std::span(tokens_).first(static_cast<std::size_t>(settings_.context));
    trainer_.model().forward(Tensor::from<std::int32_t>({1, settings_.context}, inputs), state, {});
    return state.bytes();
  }

  LmOutcome interrupted() {
    checkpoint();
    return {.status = RunStatus::interrupted,
            .message = fmt::format("stopped after step {} of {}", position_.step, settings_.steps),
            .summary = summary(),
            .slices = {}};
  }

  LmOutcome diverged() {
    return {.status = RunStatus::diverged,
            .message = fmt::format("the loss was not finite at step {}", position_.step + 1),
            .summary = summary(),
            .slices = {}};
  }

  // All ranks stop at the same step, or none.
  bool stop_requested() {
    double stop = leads() && callbacks_.stop_requested && callbacks_.stop_requested() ? 1 : 0;
    ranks_.sum(std::span(&stop, 1));
    return stop > 0;
  }

  bool checkpoint_due() const {
    if (!leads() || position_.step >= settings_.steps) return false;
    const bool by_step = options_.checkpoint_every > 0 && position_.step % options_.checkpoint_every == 0;
    return by_step || Clock::now() - last_checkpoint_ > options_.checkpoint_interval;
  }

  void checkpoint() {
    last_checkpoint_ = Clock::now();
    if (!leads()) return;
    write_lm_checkpoint(options_.folder / "checkpoints", spec_, settings_.model, trainer_, corpus_.tokenizer(),
                        position_, options_.keep_checkpoints);
  }

  nlohmann::json summary() const {
    return {{"parameters", count_values(trainer_.model().parameters())},
            {"flops", position_.flops},
            {"epochs", position_.step},
            {"train_seconds", position_.seconds},
            {"tokens", position_.step * settings_.batch_sequences * settings_.context},
            {"peak_bytes", pool_statistics().peak_bytes_in_use},
            {"data_hash", fmt::format("{:016x}", position_.data_hash)}};
  }

  const RunSpec& spec_;
  LmSettings settings_;
  const Corpus& corpus_;
  const LmRunOptions& options_;
  const LmCallbacks& callbacks_;
  Collective& ranks_;
  Sequences train_;
  Sequences validation_;
  DataOrder order_;
  LmTrainer trainer_;
  std::optional<LmLog> log_;
  LmPosition position_;
  std::vector<std::int32_t> tokens_;
  Clock::time_point last_checkpoint_;
};

}  // namespace

LmOutcome train_lm(const RunSpec& spec, const Corpus& corpus, const LmRunOptions& options, const LmCallbacks& callbacks,
                   Collective& ranks) {
  check_lm(spec, corpus);
  return LmTraining(spec, corpus, options, callbacks, ranks).run();
}

void check_lm(const RunSpec& spec, const Corpus& corpus) {
  const LmSettings settings = read_lm_settings(spec);
  if (corpus.hash() != settings.corpus_hash) {
    throw UsageError("the corpus has the hash {}, the run was made with {}; give it the corpus it was made with",
                     corpus.hash(), settings.corpus_hash);
  }
  for (const Split split : {Split::train, Split::validation}) Sequences(corpus, split, settings.context);
  Model::declared(settings.model);
}

std::int64_t default_micro_batch(const LmSettings& settings) {
  // Wide models fill the machine with fewer tokens, and each takes more memory.
  const std::int64_t tokens = std::clamp<std::int64_t>((std::int64_t{1} << 22) / settings.model.d_model, 2048, 16384);
  return std::clamp<std::int64_t>(tokens / settings.context, 1, settings.batch_sequences);
}

}  // namespace zoo
