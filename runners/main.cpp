#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "runners/command.h"
#include "zoo/core/device.h"
#include "zoo/core/error.h"
#include "zoo/core/graph_scope.h"
#include "zoo/core/parallel.h"
#include "zoo/core/plugin.h"
#include "zoo/core/plugin_loader.h"
#include "zoo/core/version.h"
#include "zoo/cpu/isa.h"

namespace zoo {

Registry<Command>& command_registry() {
  static Registry<Command> registry("command");
  return registry;
}

namespace {

constexpr int max_threads = 1024;

/// What every command takes.
struct CommonOptions {
  std::vector<std::string> plugins;
  std::vector<std::string> tried_plugins;  // --tried-plugin: from a process of ours that has tried them already
  int threads = 0;                         // 0: not given
  std::optional<Device> device;
  bool graphs = false;
};

int parse_threads(const std::string& text) {
  int count = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (failure != std::errc{} || end != text.data() + text.size() || count < 1 || count > max_threads) {
    throw UsageError("--threads is '{}'; it must be a whole number from 1 to {}", text, max_threads);
  }
  return count;
}

bool parse_graphs(const std::string& text) {
  if (text == "on" || text == "off") return text == "on";
  throw UsageError("--graphs is '{}'; it must be on or off", text);
}

/// Takes the common options out of the arguments, wherever they stand before "--".
CommonOptions take_common_options(std::vector<std::string>& arguments) {
  CommonOptions common;
  std::vector<std::string> rest;
  auto argument = arguments.begin();
  const auto take = [&](const std::string& flag, std::string& value) {
    if (*argument == flag) {
      if (argument + 1 == arguments.end()) throw UsageError("{} needs a value: {} VALUE", flag, flag);
      value = *++argument;
      return true;
    }
    if (!argument->starts_with(flag + "=")) return false;
    value = argument->substr(flag.size() + 1);
    return true;
  };
  for (; argument != arguments.end() && *argument != "--"; ++argument) {
    std::string value;
    if (take("--plugin", value)) {
      common.plugins.push_back(value);
    } else if (take("--tried-plugin", value)) {
      common.tried_plugins.push_back(value);
    } else if (take("--threads", value)) {
      common.threads = parse_threads(value);
    } else if (take("--device", value)) {
      common.device = parse_device(value);
    } else if (take("--graphs", value)) {
      common.graphs = parse_graphs(value);
    } else {
      rest.push_back(*argument);
    }
  }
  rest.insert(rest.end(), argument, arguments.end());
  arguments = std::move(rest);
  return common;
}

std::string usage() {
  std::string text =
      "zoo: sequence layers under identical settings\n\n"
      "Usage: zoo COMMAND [OPTIONS]\n\nCommands:\n";
  for (const std::string& name : command_registry().names()) {
    const Command& command = command_registry().get(name);
    if (!command.hidden) text += fmt::format("  {:<12} {}\n", name, command.help);
  }
  text +=
      "\nEvery command takes:\n"
      "  --help          what the command does and takes\n"
      "  --plugin FILE   layers and tasks from a shared library (may be repeated)\n"
      "  --threads N     threads of one computation\n"
      "  --device NAME   where tensors lie and kernels run: cpu (the default) or gpu\n"
      "  --graphs on     give steps of training to the GPU as graphs; off (the default): kernel by kernel\n"
      "\nzoo --version tells the version.\n";
  return text;
}

int run(std::vector<std::string> arguments) {
  const CommonOptions common = take_common_options(arguments);
  if (arguments.empty()) {
    fmt::print(stderr, "{}", usage());
    return 2;
  }
  if (arguments[0] == "--version") {
    fmt::print("zoo {}\n", version);
    return 0;
  }
  if (arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "help") {
    fmt::print("{}", usage());
    return 0;
  }
  const Command* command = command_registry().find(arguments[0]);
  if (command == nullptr) {
    std::vector<std::string> names;
    for (const Command& known : command_registry().entries()) {
      if (!known.hidden) names.push_back(known.name);
    }
    std::ranges::sort(names);
    throw UsageError(unknown_name_message("command", arguments[0], names));
  }
  if (common.device) set_device(*common.device);
  current_device();  // a wrong ZOO_DEVICE is refused here, whatever the command
  set_graphs(common.graphs);
  if (on_gpu() && device_description().starts_with("emulated") && !command->hidden) {
    fmt::print(stderr, "zoo: the GPU is emulated on the CPU: its results hold, its times say nothing about a GPU\n");
  }
  const int threads = common.threads > 0 ? common.threads : command->threads;
  if (threads > 0) set_threads(threads);
  register_builtin();
  for (const std::string& path : common.tried_plugins) load_plugin(path, {.command = ""});
  for (const std::string& path : common.plugins) load_plugin(path);
  return command->run(std::span(arguments).subspan(1));
}

int fail(int code, const char* message) {
  std::fflush(stdout);
  fmt::print(stderr, "zoo: {}\n", message);
  return code;
}

int run_and_report(std::vector<std::string> arguments) {
  try {
    isa_name();  // a wrong ZOO_ISA is refused here, whatever the command
    const int code = run(std::move(arguments));
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      return fail(1, "cannot write to standard output; is the disk full?");
    }
    return code;
  } catch (const UsageError& error) {
    return fail(2, error.what());
  } catch (const std::bad_alloc&) {
    return fail(1, "out of memory; try a smaller batch, fewer workers or a smaller model");
  } catch (const std::exception& error) {
    return fail(1, error.what());
  }
}

}  // namespace

}  // namespace zoo

int main(int argc, char** argv) {
  return zoo::run_and_report(std::vector<std::string>(argv + 1, argv + argc));
}
