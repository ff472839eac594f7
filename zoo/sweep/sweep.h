#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "zoo/io/store.h"
#include "zoo/sweep/workers.h"
#include "zoo/train/run.h"

namespace zoo {

/// Runs to be made and where they go.
struct SweepRequest {
  std::vector<RunSpec> runs;
  std::vector<RunEstimate> estimates;  ///< of each run
  std::string store_path;
  int workers = 1;
  std::vector<std::string> worker_command;  ///< starts a worker process
  /// Where the runs are made; when empty, by `workers` processes of this machine.
  std::function<std::unique_ptr<Workers>()> make_workers = {};
  nlohmann::json environment;  ///< recorded with each run
};

/// What became of a sweep's runs.
struct SweepResult {
  int skipped = 0;  ///< were done before
  int done = 0;
  int diverged = 0;
  int failed = 0;
  int left = 0;  ///< not finished when a signal stopped the sweep
  bool interrupted = false;

  /// 130 when interrupted, 1 when a run failed, else 0.
  int exit_code() const;
};

/// Makes the runs that the store does not have, on worker processes, each from its last checkpoint; records what they
/// say; shows progress on standard error. SIGINT, SIGTERM and SIGHUP stop it: workers save a checkpoint first, at a
/// second signal they do not. A run that crashes is recorded as failed and the sweep goes on. Throws Error when the
/// store cannot be written any more; what was recorded is kept.
SweepResult run_sweep(const SweepRequest& request, Store& store);

/// Whether the store has this run's results (done or diverged), so that it is not made again.
bool is_finished(RunStatus status);
bool is_finished(const Store& store, const std::string& id);

/// The folder beside a store where unfinished runs keep their checkpoints.
std::string checkpoint_directory(const std::string& store_path);

}  // namespace zoo
