#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "zoo/sweep/presets.h"
#include "zoo/sweep/settings.h"

namespace zoo {

/// A command that makes sweeps: recall, train, mad, longrange.
struct SweepCommand {
  std::string name;   ///< "recall"
  std::string usage;  ///< what it is for, the first lines of its help
  std::vector<Preset>
      presets;  ///< the first is where it starts when none is named; with one alone there is no --preset
  /// Options that only this command has: values are texts, `repeatable` is not used.
  std::vector<SettingName> own = {};
  /// Switches that stand for a preset of the same name: {"quick", help}.
  std::vector<std::pair<std::string, std::string>> shortcuts = {};
};

/// One part of a sweep, for job arrays: the number-th of `count`, from 1.
struct SweepShard {
  int number = 1;
  int count = 1;
};

/// What such a command was asked to do.
struct SweepOptions {
  std::vector<SettingSource> sources;      ///< the preset, the config file, the command line
  std::map<std::string, std::string> own;  ///< the command's own options that were given
  int workers = 1;
  SweepShard shard;
  std::string store = "runs.db";
  std::string out;
  bool dry_run = false;
};

/// Reads the command line, the config file that it names, and the preset; nothing when help was asked for. Throws
/// UsageError for anything that is not understood, with the line of a config file.
std::optional<SweepOptions> parse_sweep_options(const SweepCommand& command, std::span<const std::string> arguments);

/// The text of `zoo NAME --help`.
std::string sweep_help(const SweepCommand& command);

}  // namespace zoo
