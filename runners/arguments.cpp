#include "runners/arguments.h"

#include <algorithm>
#include <vector>

#include "zoo/core/device.h"
#include "zoo/core/error.h"
#include "zoo/core/graph_scope.h"
#include "zoo/core/plugin_loader.h"
#include "zoo/sweep/text.h"

namespace zoo {

namespace po = boost::program_options;

po::variables_map read_arguments(std::string_view command, const po::options_description& options,
                                 std::span<const std::string> arguments, const char* positional) {
  po::options_description all;
  all.add(options);
  po::positional_options_description places;
  if (positional != nullptr) {
    all.add_options()(positional, po::value<std::vector<std::string>>());
    places.add(positional, -1);
  }
  const std::vector<std::string> words(arguments.begin(), arguments.end());
  constexpr int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
  po::variables_map values;
  try {
    po::store(po::command_line_parser(words).options(all).positional(places).style(style).run(), values);
  } catch (const po::unknown_option& error) {
    std::vector<std::string> names;
    for (const auto& option : options.options()) names.push_back("--" + option->long_name());
    throw UsageError("{}: {}", command, unknown_name_message("option", error.get_option_name(), names));
  } catch (const po::too_many_positional_options_error&) {
    throw UsageError("{} takes options only, but got {}; {} --help tells which", command, shell_command(words),
                     command);
  } catch (const po::error& error) {
    throw UsageError("{}: {}; {} --help tells what it takes", command, error.what(), command);
  }
  return values;
}

void add_device(std::vector<std::string>& words) {
  if (on_gpu()) words.insert(words.end(), {"--device", "gpu"});
  if (graphs_on()) words.insert(words.end(), {"--graphs", "on"});
}

std::string command_line(std::vector<std::string> words, std::span<const std::string> arguments) {
  for (const std::string& plugin : loaded_plugins()) words.insert(words.end(), {"--plugin", plugin});
  add_device(words);
  words.insert(words.end(), arguments.begin(), arguments.end());
  return shell_command(words);
}

}  // namespace zoo
