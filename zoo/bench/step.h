#pragma once

#include <cstdint>
#include <vector>

#include "zoo/core/graph_scope.h"
#include "zoo/core/profile.h"
#include "zoo/train/settings.h"

namespace zoo {

/// How long to measure.
struct StepBenchmark {
  std::int64_t steps = 20;  ///< timed
  std::int64_t warmup = 3;  ///< steps before them
  bool profile = false;     ///< also where the time goes
};

/// What training steps take, and what the machine reaches on large products meanwhile.
struct StepMeasurement {
  std::vector<double> seconds;  ///< of each timed step, the making of its batch included
  double data_seconds = 0;      ///< for making batches, of all timed steps together
  double sequences = 0;         ///< of all timed steps together
  double tokens = 0;
  double flops = 0;        ///< useful work (count_flops) of all timed steps together
  double sgemm_flops = 0;  ///< FLOP/s of large products (SgemmRate), sampled between the steps
  std::int64_t parameters = 0;
  GraphCounts graphs;                   ///< of all timed steps together
  std::vector<Profile::Entry> profile;  ///< empty unless asked for

  double total_seconds() const;
};

/// Takes training steps as a run would, from its first on, with zoo::threads() threads. Parts of a mixture take turns.
/// Throws Error when the loss stops being finite: such steps are shorter.
StepMeasurement measure_steps(const RunSettings& settings, const StepBenchmark& benchmark);

}  // namespace zoo
