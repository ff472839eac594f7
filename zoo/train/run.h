#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "zoo/io/store.h"

namespace zoo {

/// How one run ended.
struct RunOutcome {
  RunStatus status = RunStatus::done;  ///< done, diverged or interrupted; failures are thrown
  std::string message;                 ///< the step of a divergence
  nlohmann::json summary;              ///< {"parameters", "flops", "epochs", "train_seconds"}
  std::vector<SliceResult> slices;     ///< of test (and of validation, which choices are made on)
};

/// Where a run is.
struct RunProgress {
  std::int64_t epoch = 0;  ///< the one being trained, from 1
  double fraction = 0;     ///< of all training steps, from 0 to 1 (early stopping can end before)
  double train_loss = 0;   ///< mean over the steps of this epoch so far
};

/// What a run tells while it goes on; each may be empty.
struct RunCallbacks {
  std::function<void(const EpochResult&)> epoch;
  std::function<void(const RunProgress&)> progress;  ///< at most a few times a second
  std::function<bool()> stop_requested;              ///< true: checkpoint and return `interrupted`
};

/// How far a run is to be made, in epochs from its beginning; 0: to its end.
struct RunLimits {
  std::int64_t pause_after = 0;  ///< then it returns `interrupted`, to be gone on with from its checkpoint
  std::int64_t end_after = 0;    ///< then it is evaluated and done, its summary's "stopped" saying "halving"
};

/// Trains and evaluates the run that `spec` describes, on this thread with zoo::threads() threads. When
/// `checkpoint_path` is not empty, a checkpoint is written there (atomically) after each epoch and at least every five
/// minutes, an existing one is continued from, bit for bit as if there had been no pause (callbacks are made only for
/// epochs after it; `resumed_epochs` of checkpoint_epochs()), and it is removed at the end. A checkpoint that cannot be
/// read, or of another run, is ignored with a warning on stderr. Throws UsageError for a spec that cannot be met, Error
/// for a failure.
RunOutcome execute_run(const RunSpec& spec, const std::string& checkpoint_path, const RunCallbacks& callbacks,
                       const RunLimits& limits = {});

/// Whole epochs in the checkpoint at this path, 0 when there is none or it cannot be used for `spec`.
std::int64_t checkpoint_epochs(const RunSpec& spec, const std::string& checkpoint_path);

/// What a run will need, found by building the model and counting a step, not by formulas.
struct RunEstimate {
  std::int64_t parameters = 0;
  std::int64_t state_bytes = 0;  ///< at the longest test length (up to 8,192, if there is one), batch 1, all blocks
  double flops = 0;              ///< of all training without early stopping, counted on one example of each part
};
/// Throws UsageError for a spec that cannot be met (this is the check that a sweep makes of every cell before it
/// starts).
RunEstimate estimate_run(const RunSpec& spec);

}  // namespace zoo
