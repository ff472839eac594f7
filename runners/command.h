#pragma once

#include <functional>
#include <span>
#include <string>
#include <utility>

#include "zoo/core/registry.h"

namespace zoo {

/// A subcommand of `zoo`.
struct Command {
  std::string name;
  std::string help;  ///< one line
  /// Gets the arguments after the command's name, without the common ones (--plugin, --threads, --device), and returns
  /// the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted. What it throws becomes a message and 2
  /// (UsageError) or 1.
  std::function<int(std::span<const std::string> arguments)> run;
  bool hidden = false;  ///< from `zoo --help`: for zoo's own processes
  int threads = 0;      ///< of a computation unless --threads says otherwise; 0: one a core
};

/// All subcommands.
Registry<Command>& command_registry();

/// Registers a subcommand from the file that defines it:
///
///     const RegisterCommand layers({.name = "layers", .help = "...", .run = run});
struct RegisterCommand {
  explicit RegisterCommand(Command command) { command_registry().add(std::move(command)); }
};

}  // namespace zoo
