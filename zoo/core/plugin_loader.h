#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace zoo {

/// How plugins are tried out before this process opens them.
struct PluginTrial {
  /// The command that tries them: `<command> plugin-probe FILE EARLIER...` (see probe_plugin). Empty: no trial.
  std::string command = "/proc/self/exe";
  /// For opening the file and constructing everything it registers, with default options and with each test case.
  std::chrono::milliseconds time_limit = plugin_time_limit();

  /// ZOO_PLUGIN_TIMEOUT in seconds, 10 s without it. Throws UsageError when it is not a positive number.
  static std::chrono::milliseconds plugin_time_limit();
};

/// Loads a shared library of layers, feed-forwards and tasks, and registers what it holds: all of it, or nothing. Its
/// stamp is read before any of its code runs; then another process opens it and constructs all it registers; then this
/// one opens it, for good. Throws UsageError naming the file, what is wrong and what to do.
void load_plugin(const std::string& path, const PluginTrial& trial = {});

/// Absolute paths of the plugins loaded so far, in order: what a worker process must load as well.
const std::vector<std::string>& loaded_plugins();

/// The other process's part: loads the `earlier` plugins and this one, and constructs everything this one registers.
/// What it is doing goes to standard output, a line before each step, ending with "done" or "refused: <reason>"; the
/// plugin's own output goes to standard error. Returns the exit code.
int probe_plugin(const std::string& path, const std::vector<std::string>& earlier);

}  // namespace zoo
