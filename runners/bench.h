#pragma once

#include <utility>

#include "runners/command.h"

namespace zoo {

/// What `zoo bench` can measure: `zoo bench NAME` runs the entry with the arguments after its name.
Registry<Command>& benchmark_registry();

/// Registers a benchmark from the file that defines it, as RegisterCommand does a subcommand.
struct RegisterBenchmark {
  explicit RegisterBenchmark(Command benchmark) { benchmark_registry().add(std::move(benchmark)); }
};

}  // namespace zoo
