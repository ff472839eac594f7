#pragma once

#include <optional>
#include <span>
#include <string>

#include "zoo/sweep/settings.h"

namespace zoo {

/// What `zoo recall` was asked to do.
struct RecallOptions {
  SweepSettings settings;
  int workers = 1;
  std::string store = "runs.db";
  std::string out = "out/recall";
  bool dry_run = false;
};

/// Reads the command line, the config file that it names, and the preset; nothing when help was asked for. Throws
/// UsageError for anything that is not understood, with the line of a config file.
std::optional<RecallOptions> parse_recall_options(std::span<const std::string> arguments);

/// The text of `zoo recall --help`.
std::string recall_help();

}  // namespace zoo
