#include "runners/command.h"
#include "runners/sweep_command.h"
#include "zoo/sweep/plan.h"

namespace zoo {
namespace {

int run(std::span<const std::string> arguments) {
  const SweepCommand command = {
      .name = "recall",
      .usage = "Train layers on multi-query associative recall under identical settings, and compare them.",
      .presets = presets()};
  return run_sweep_command(command, arguments,
                           [](const SweepOptions& options) { return plan_runs(read_sweep_settings(options.sources)); });
}

const RegisterCommand command({.name = "recall", .help = "compare layers on associative recall", .run = run});

}  // namespace
}  // namespace zoo
