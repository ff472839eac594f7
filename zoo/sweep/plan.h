#pragma once

#include <functional>
#include <string>
#include <vector>

#include "zoo/io/store.h"
#include "zoo/sweep/settings.h"
#include "zoo/train/run.h"

namespace zoo {

/// The runs of a sweep, each option of each part checked against its registry and recorded with its default. Their
/// order makes partial results useful: seed by seed, then the cells (fewest training tokens first), widths (narrow
/// first), learning rates, and the layers side by side innermost. Throws UsageError for unknown names and wrong
/// options.
std::vector<RunSpec> plan_runs(const SweepSettings& settings);

/// Checks that every run can be made, and finds what it needs. Runs that differ only in learning rate and seed are
/// looked at once. Throws UsageError that lists every setting that cannot be met, each with its reason.
std::vector<RunEstimate> estimate_runs(const std::vector<RunSpec>& runs,
                                       const std::function<RunEstimate(const RunSpec&)>& estimate);

/// The width of a run: an axis, or the subject's own where it was chosen to match others.
std::int64_t width_of(const RunSpec& spec);
/// A run in a few words: "attention d_model 64 lr 0.003 seed 0 T 64 kv 8".
std::string describe_run(const RunSpec& spec);
/// Several, told apart where they differ in options: "attention (window=16) d_model 64 ...".
std::vector<std::string> describe_runs(const std::vector<RunSpec>& specs);
/// Its cell alone: "T 64 kv 8"; a mixture as "T 64 to 256 kv 4 to 64".
std::string describe_cell(const RunSpec& spec);

}  // namespace zoo
