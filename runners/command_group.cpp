#include "runners/command_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "zoo/core/error.h"

namespace zoo {

namespace {

std::string usage(const CommandGroup& group) {
  std::string placeholder(group.member);
  std::ranges::transform(placeholder, placeholder.begin(), [](unsigned char c) { return std::toupper(c); });
  std::string text = fmt::format("{}\n\nUsage: zoo {} {} [OPTIONS]\n\n", group.description, group.name, placeholder);
  for (const std::string& name : group.members.names()) {
    text += fmt::format("  {:<12} {}\n", name, group.members.get(name).help);
  }
  return text + fmt::format("\nzoo {} {} --help tells what it takes.\n", group.name, placeholder);
}

}  // namespace

int run_group(const CommandGroup& group, std::span<const std::string> arguments) {
  if (arguments.empty()) {
    throw UsageError("zoo {} needs the name of a {}\n\n{}", group.name, group.member, usage(group));
  }
  if (arguments[0] == "--help" || arguments[0] == "-h") {
    fmt::print("{}", usage(group));
    return 0;
  }
  return group.members.get(arguments[0]).run(arguments.subspan(1));
}

}  // namespace zoo
