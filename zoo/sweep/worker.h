#pragma once

#include <functional>
#include <string>

#include "zoo/train/run.h"

namespace zoo {

/// Trains one run: execute_run, or a double in tests.
using ExecuteRun = std::function<RunOutcome(const RunSpec& spec, const std::string& checkpoint_path,
                                            const RunCallbacks& callbacks, const RunLimits& limits)>;

/// Where a worker writes its records; its standard output and error are free for whatever a layer prints.
inline constexpr int worker_record_fd = 3;

/// The life of a worker process: reads one request from the file descriptor `requests`, trains the run on one thread,
/// and writes what happens to `records`. SIGTERM asks it to save a checkpoint and end. Returns the exit code: 0 when
/// the end of the run was reported, a failure included.
int serve_worker(const ExecuteRun& execute, int requests, int records);

}  // namespace zoo
