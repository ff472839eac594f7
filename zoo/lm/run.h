#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "zoo/io/store.h"
#include "zoo/lm/log.h"
#include "zoo/lm/trainer.h"
#include "zoo/text/corpus.h"

namespace zoo {

/// What a training run of a language model tells while it goes on; each may be empty.
struct LmCallbacks {
  /// Training begins, or goes on after so many steps.
  std::function<void(std::int64_t done)> begin = {};
  std::function<void(const LmStep&)> step = {};
  /// Within step `step` (from 1), so many of its sequences are done.
  std::function<void(std::int64_t step, std::int64_t done, std::int64_t all)> part = {};
  std::function<void(const LmEvaluation&, const LmStep& last)> evaluation = {};
  /// true: write a checkpoint and return `interrupted`; a step under way is given up, but with several ranks.
  std::function<bool()> stop_requested = {};
  /// Something that a person should know, such as a checkpoint that cannot be used.
  std::function<void(const std::string&)> warning = {};
};

/// How a run is made: nothing of this changes its result, but for the roundings of LmExecution.
struct LmRunOptions {
  std::filesystem::path folder;  ///< of its log and its checkpoints
  LmExecution execution = {};
  int keep_checkpoints = 2;
  std::int64_t checkpoint_every = 0;  ///< steps; 0: by time alone
  std::chrono::seconds checkpoint_interval = std::chrono::minutes(5);
};

struct LmOutcome {
  RunStatus status = RunStatus::done;  ///< done, diverged or interrupted; failures are thrown
  std::string message;
  /// {"parameters", "flops", "epochs" (steps), "train_seconds", "tokens", "data_hash", "peak_bytes" (of the pool, since
  /// this part of the training began)}
  nlohmann::json summary;
  std::vector<SliceResult> slices;
};

/// Trains the run that `spec` describes on a corpus, from its newest good checkpoint if there is one, bit for bit as if
/// it had not been interrupted, and evaluates it. With several ranks each trains on its part of every batch; rank 0
/// alone writes and calls back. Throws UsageError for a spec that cannot be met, Error for a failure.
LmOutcome train_lm(const RunSpec& spec, const Corpus& corpus, const LmRunOptions& options, const LmCallbacks& callbacks,
                   Collective& ranks);

/// Throws UsageError for a record that cannot be met with this corpus, before anything is trained or written.
void check_lm(const RunSpec& spec, const Corpus& corpus);

/// Sequences of a forward and backward pass that fill the machine and not its memory.
std::int64_t default_micro_batch(const LmSettings& settings);

}  // namespace zoo
