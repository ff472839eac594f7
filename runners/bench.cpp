#include "runners/bench.h"

#include <fmt/format.h>

#include <span>
#include <string>

#include "zoo/core/error.h"

namespace zoo {

Registry<Command>& benchmark_registry() {
  static Registry<Command> registry("benchmark");
  return registry;
}

namespace {

std::string usage() {
  std::string text =
      "Measure speed, beside what the machine reaches on large matrix products in the same minute.\n\n"
      "Usage: zoo bench BENCHMARK [OPTIONS]\n\nBenchmarks:\n";
  for (const std::string& name : benchmark_registry().names()) {
    text += fmt::format("  {:<12} {}\n", name, benchmark_registry().get(name).help);
  }
  text += "\nzoo bench BENCHMARK --help tells what it takes.\n";
  return text;
}

int run(std::span<const std::string> arguments) {
  if (arguments.empty()) throw UsageError("zoo bench needs the name of a benchmark\n\n{}", usage());
  if (arguments[0] == "--help" || arguments[0] == "-h") {
    fmt::print("{}", usage());
    return 0;
  }
  return benchmark_registry().get(arguments[0]).run(arguments.subspan(1));
}

const RegisterCommand command({.name = "bench", .help = "measure the speed of training", .run = run});

}  // namespace
}  // namespace zoo
