#include "zoo/bench/step.h"

#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>

#include "zoo/bench/sgemm_rate.h"
#include "zoo/core/batch.h"
#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/core/seconds.h"
#include "zoo/train/trainer.h"

namespace zoo {

namespace {

using Clock = std::chrono::steady_clock;

// A model in training, one step at a time.
class Training {
 public:
  explicit Training(const RunSettings& settings) : settings_(settings), trainer_(settings) {
    indices_.resize(static_cast<std::size_t>(settings.batch_size));
  }

  void make_batch() {
    const ProfileScope scope("make batch", "data");
    const TaskPart& part = settings_.train[static_cast<std::size_t>(step_) % settings_.train.size()];
    std::iota(indices_.begin(), indices_.end(), static_cast<std::uint64_t>(step_ * settings_.batch_size));
    fill_batch(*part.task, Split::train, settings_.seed, indices_, batch_);
  }

  void step() {
    const ProfileScope scope("outside ops", "");
    const double loss = trainer_.step(batch_, step_);
    if (!std::isfinite(loss)) {
      throw Error("the loss is not finite at step {}; give a smaller --lr", step_);
    }
    ++step_;
  }

  const Batch& batch() const { return batch_; }
  std::int64_t parameters() { return count_values(trainer_.model().parameters()); }

 private:
  const RunSettings& settings_;
  Trainer trainer_;
  Batch batch_;
  std::vector<std::uint64_t> indices_;
  std::int64_t step_ = 0;
};

}  // namespace

double StepMeasurement::total_seconds() const {
  return std::accumulate(seconds.begin(), seconds.end(), 0.0);
}

StepMeasurement measure_steps(const RunSettings& settings, const StepBenchmark& benchmark) {
  SgemmRate sgemm;
  Training training(settings);
  for (std::int64_t i = 0; i < benchmark.warmup; ++i) {
    training.make_batch();
    training.step();
  }

  StepMeasurement measurement;
  measurement.parameters = training.parameters();
  std::optional<Profile> profile;
  if (benchmark.profile) profile.emplace();
  const GraphCounts before = graph_counts();
  // The yardstick is sampled before, between and after the steps, in this many places.
  constexpr std::int64_t samples = 5;
  std::int64_t taken = 0;
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    sgemm.sample();
    for (; taken < benchmark.steps * (sample + 1) / (samples - 1) && taken < benchmark.steps; ++taken) {
      const double flops = flops_counted();
      const Clock::time_point begin = Clock::now();
      training.make_batch();
      measurement.data_seconds += seconds_since(begin);
      training.step();
      measurement.seconds.push_back(seconds_since(begin));
      measurement.flops += flops_counted() - flops;
      measurement.sequences += static_cast<double>(training.batch().batch);
      measurement.tokens += static_cast<double>(training.batch().batch * training.batch().seq_len);
    }
  }
  measurement.sgemm_flops = sgemm.flops_per_second();
  const GraphCounts after = graph_counts();
  measurement.graphs = {.launched = after.launched - before.launched,
                        .built = after.built - before.built,
                        .work = after.work - before.work};
  if (profile) measurement.profile = profile->entries();
  return measurement;
}

}  // namespace zoo
