#pragma once

#include <cstdint>
#include <vector>

#include "zoo/core/profile.h"
#include "zoo/lm/settings.h"
#include "zoo/lm/trainer.h"

namespace zoo {

/// What to measure of a language model.
struct LmBenchmark {
  std::int64_t steps = 3;      ///< optimizer steps timed, after one that is not
  std::int64_t prompt = 16;    ///< tokens read before generation
  std::int64_t generate = 64;  ///< tokens generated and timed, one sequence; 0: none
  bool profile = false;        ///< also where the time goes: of the steps, or without any of generation
};

struct LmMeasurement {
  std::vector<double> step_seconds;
  double flops = 0;            ///< useful work (count_flops) of all timed steps together
  double sgemm_flops = 0;      ///< FLOP/s of large products (SgemmRate), sampled between the steps
  std::size_t peak_bytes = 0;  ///< that the pool held at most, weights and optimizer included
  std::int64_t parameters = 0;
  std::vector<double> token_seconds;  ///< of each generated token
  double bytes_per_token = 0;         ///< weights that a token reads, and its state
  double read_bytes_per_second = 0;   ///< what the machine reaches reading as much memory, in the same run
  std::vector<Profile::Entry> profile;
};

/// Trains on random tokens as a run would, and generates, with zoo::threads() threads.
LmMeasurement measure_lm(const LmSettings& settings, const LmExecution& execution, const LmBenchmark& benchmark);

}  // namespace zoo
