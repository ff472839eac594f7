#include "runners/bench.h"

#include <span>
#include <string>

#include "runners/command_group.h"

namespace zoo {

Registry<Command>& benchmark_registry() {
  static Registry<Command> registry("benchmark");
  return registry;
}

namespace {

int run(std::span<const std::string> arguments) {
  return run_group({.name = "bench",
                    .description = "Measure speed, beside what the machine reaches on large matrix products in the "
                                   "same minute.",
                    .member = "benchmark",
                    .members = benchmark_registry()},
                   arguments);
}

const RegisterCommand command({.name = "bench", .help = "measure the speed of training", .run = run});

}  // namespace
}  // namespace zoo
