#pragma once

#include <span>
#include <string>
#include <string_view>

#include "runners/command.h"

namespace zoo {

/// A subcommand that has subcommands of its own, as `zoo bench step` and `zoo lm train`.
struct CommandGroup {
  std::string_view name;         ///< "bench"
  std::string_view description;  ///< what its usage begins with
  std::string_view member;       ///< what its members are called: "benchmark"
  Registry<Command>& members;
};

/// Runs the member that arguments[0] names with the arguments after it, or prints the usage for --help. Throws
/// UsageError when no member is named, or an unknown one.
int run_group(const CommandGroup& group, std::span<const std::string> arguments);

}  // namespace zoo
