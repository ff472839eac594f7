#include "zoo/core/plugin_loader.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "zoo/core/error.h"
#include "zoo/core/plugin_file.h"
#include "zoo/core/process.h"

namespace zoo {

namespace {

std::vector<std::string>& loaded() {
  static std::vector<std::string> paths;
  return paths;
}

/// Without line ends at the end.
std::string trimmed(std::string text) {
  text.erase(text.find_last_not_of('\n') + 1);
  return text;
}

std::string last_line(const std::string& text) {
  const std::string lines = trimmed(text);
  return lines.substr(lines.rfind('\n') + 1);
}

/// Has another process open the plugin and construct what it registers. Throws UsageError when that goes wrong.
void try_in_other_process(const std::string& path, const PluginTrial& trial) {
  ProcessRequest request{.arguments = {trial.command, "plugin-probe", path}, .time_limit = trial.time_limit};
  request.arguments.insert(request.arguments.end(), loaded().begin(), loaded().end());
  request.output_limit = 1 << 16;
  const ProcessResult result = run_process(request);
  constexpr std::string_view refused = "\nrefused: ";
  const std::size_t refusal = result.output.find(refused);
  const std::string step = last_line(result.output);
  if (result.timed_out) {
    throw UsageError(
        "did not come back within {} s while {}; is there an endless loop? ZOO_PLUGIN_TIMEOUT=SECONDS allows more time",
        std::chrono::duration<double>(trial.time_limit).count(), step);
  }
  if (result.signal != 0) {
    const char* name = ::sigabbrev_np(result.signal);
    throw UsageError("crashed while {}: SIG{}, {}; see where with: gdb --args zoo plugin-probe {}", step,
                     name == nullptr ? std::to_string(result.signal) : name, ::strsignal(result.signal), path);
  }
  if (refusal != std::string::npos) throw UsageError(trimmed(result.output.substr(refusal + refused.size())));
  if (result.exit_code != 0 || step != "done") {
    const std::string last_words = last_line(result.error);
    throw UsageError("ended the program while {}, with exit code {}{}", step, result.exit_code,
                     last_words.empty() ? "" : ", saying: " + last_words);
  }
}

}  // namespace

std::chrono::milliseconds PluginTrial::plugin_time_limit() {
  const char* text = std::getenv("ZOO_PLUGIN_TIMEOUT");
  if (text == nullptr) return std::chrono::seconds(10);
  char* end = nullptr;
  const double seconds = std::strtod(text, &end);
  if (end == text || *end != '\0' || !(seconds >= 0.001 && seconds <= 86400)) {
    throw UsageError("ZOO_PLUGIN_TIMEOUT is '{}'; it must be a number of seconds from 0.001 to 86400", text);
  }
  return std::chrono::milliseconds(std::llround(seconds * 1000));
}

void load_plugin(const std::string& path, const PluginTrial& trial) {
  try {
    std::error_code failure;
    const std::string file = std::filesystem::canonical(path, failure).string();
    check_plugin_stamp(failure ? path : file);
    if (!trial.command.empty()) try_in_other_process(file, trial);
    open_plugin(file);
    loaded().push_back(file);
  } catch (const UsageError& error) {
    throw UsageError("plugin '{}' {}", path, error.what());
  }
}

const std::vector<std::string>& loaded_plugins() {
  return loaded();
}

}  // namespace zoo
