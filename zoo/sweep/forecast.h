#pragma once

#include <map>
#include <string>
#include <vector>

#include "zoo/io/store.h"
#include "zoo/sweep/worker.h"
#include "zoo/train/run.h"

namespace zoo {

/// FLOP/s at which a layer of some width trains on one core, and how that is known ("3 earlier runs in the store").
struct TrainingSpeed {
  double flops_per_second = 0;
  std::string known_from;
};

/// What speed depends on most: "attention d_model 64".
std::string speed_key(const RunSpec& spec);

/// By speed_key of the runs: from finished runs among `earlier` that have the same subject, width and setting, or else
/// by training a few sequences of the shortest cell here and now.
std::map<std::string, TrainingSpeed> training_speeds(const std::vector<RunSpec>& runs,
                                                     const std::vector<RunEstimate>& estimates,
                                                     const std::vector<Run>& earlier, const ExecuteRun& execute);

/// The list that --dry-run prints: each run with parameters, state bytes, FLOPs and the time it will take at most,
/// which are done already, and the total on so many workers.
std::string forecast_table(const std::vector<RunSpec>& runs, const std::vector<RunEstimate>& estimates,
                           const std::vector<bool>& finished, const std::map<std::string, TrainingSpeed>& speeds,
                           int workers);

}  // namespace zoo
