#include <span>
#include <string>
#include <vector>

#include "runners/command.h"
#include "zoo/core/plugin_loader.h"

namespace zoo {
namespace {

int run(std::span<const std::string> arguments) {
  if (arguments.empty()) throw UsageError("plugin-probe needs a file: zoo plugin-probe FILE [LOADED_BEFORE...]");
  return probe_plugin(arguments[0], {arguments.begin() + 1, arguments.end()});
}

// A process of its own that finds out whether a plugin can be opened: see load_plugin.
const RegisterCommand command(
    {.name = "plugin-probe", .help = "construct everything that a plugin registers", .run = run, .hidden = true});

}  // namespace
}  // namespace zoo
