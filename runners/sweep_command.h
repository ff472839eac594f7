#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "runners/sweep_options.h"
#include "zoo/io/store.h"

namespace zoo {

/// The runs that options ask for. Throws UsageError.
using PlanRuns = std::function<std::vector<RunSpec>(const SweepOptions&)>;
/// Prints results on the terminal.
using ShowResults = std::function<void(const std::vector<Run>&)>;

/// The table of accuracies, a row a layer and width.
void show_table(const std::vector<Run>& results);

/// What every command that makes sweeps does: reads its options, plans, and either prints a forecast (--dry-run) or
/// makes the runs that the store does not have, shows the results of all and writes the report. Returns the exit code.
int run_sweep_command(const SweepCommand& command, std::span<const std::string> arguments, const PlanRuns& plan,
                      const ShowResults& show = show_table);

}  // namespace zoo
