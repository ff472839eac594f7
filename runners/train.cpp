#include "runners/command.h"
#include "runners/sweep_command.h"
#include "zoo/sweep/plan.h"

namespace zoo {
namespace {

// Where a run of any task starts: minutes on a laptop, nothing that suits one layer more than another.
Preset defaults() {
  return {.name = "default",
          .description = "",
          .settings = {.origin = "the defaults",
                       .values = {{"d-model", "64"},
                                  {"lr", "0.001"},
                                  {"seeds", "0"},
                                  {"train-examples", "20000"},
                                  {"test-examples", "1000"},
                                  {"batch-size", "64"},
                                  {"epochs", "8"},
                                  {"stop-accuracy", "none"},
                                  {"backbone", "transformer"},
                                  {"feed-forward", "swiglu"},
                                  {"blocks", "2"},
                                  {"weight-decay", "0.1"}}}};
}

int run(std::span<const std::string> arguments) {
  const SweepCommand command = {
      .name = "train",
      .usage =
          "Train a layer on any task: zoo train --task T --layer L. Its options are --task-option, or --train-option\n"
          "and --test-option where training and tests differ.",
      .presets = {defaults()}};
  return run_sweep_command(command, arguments,
                           [](const SweepOptions& options) { return plan_runs(read_sweep_settings(options.sources)); });
}

const RegisterCommand command({.name = "train", .help = "train a layer on any task", .run = run});

}  // namespace
}  // namespace zoo
