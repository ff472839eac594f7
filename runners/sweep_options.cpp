#include "runners/sweep_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <fstream>
#include <map>
#include <sstream>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/sweep/text.h"
#include "zoo/sweep/workers.h"

namespace zoo {

namespace {

namespace po = boost::program_options;

using Values = std::vector<std::pair<std::string, std::string>>;

// Names of single values that commands for one run use.
const std::map<std::string, std::string>& aliases() {
  static const std::map<std::string, std::string> names = {{"layer", "layers"}, {"seed", "seeds"}};
  return names;
}

int default_workers() {
  return std::max<int>(1, static_cast<int>(allowed_cores().size()));
}

// Options of the command that a config file may hold too.
po::options_description command_options(const SweepCommand& command) {
  po::options_description options;
  std::vector<std::string> names;
  for (const Preset& preset : command.presets) names.push_back(preset.name);
  const std::string preset_help = fmt::format("settings to start from: {} ({})", fmt::join(names, ", "), names.front());
  const std::string out_help =
      fmt::format("folder for results.csv, results.json and report.html (out/{})", command.name);
  if (names.size() > 1) options.add_options()("preset", po::value<std::string>(), preset_help.c_str());
  for (const SettingName& own : command.own) {
    options.add_options()(own.name.c_str(), po::value<std::string>(), own.help.c_str());
  }
  const std::string workers_help = fmt::format("worker processes, one core each ({})", default_workers());
  options.add_options()                                                                         //
      ("workers", po::value<std::string>(), workers_help.c_str())                               //
      ("store", po::value<std::string>(), "where runs are recorded, an SQLite file (runs.db)")  //
      ("out", po::value<std::string>(), out_help.c_str())                                       //
      ("shard", po::value<std::string>(), "make the I-th of N parts of the sweep alone: I/N");
  return options;
}

po::options_description setting_options(const SweepCommand& command) {
  po::options_description options;
  for (const SettingName& setting : setting_names()) {
    if (std::ranges::find(command.own, setting.name, &SettingName::name) != command.own.end()) continue;
    options.add_options()(setting.name.c_str(), po::value<std::string>(), setting.help.c_str());
  }
  for (const auto& [alias, name] : aliases()) {
    options.add_options()(alias.c_str(), po::value<std::string>(), ("same as --" + name).c_str());
  }
  return options;
}

po::options_description command_line_options(const SweepCommand& command) {
  po::options_description options;
  options.add(command_options(command)).add(setting_options(command));
  for (const auto& [name, help] : command.shortcuts) {
    options.add_options()(name.c_str(), po::bool_switch(), help.c_str());
  }
  options.add_options()                                                                         //
      ("config", po::value<std::string>(), "read settings from a file: lines 'name = value'")   //
      ("dry-run", po::bool_switch(), "list the runs with sizes and estimated time, make none")  //
      ("help", po::bool_switch(), "this text");
  return options;
}

std::vector<std::string> names_of(const po::options_description& options) {
  std::vector<std::string> names;
  for (const auto& option : options.options()) names.push_back(option->long_name());
  return names;
}

std::string without_dashes(const std::string& option) {
  const auto begin = option.find_first_not_of('-');
  return begin == std::string::npos ? option : option.substr(begin);
}

// Names and values as parsed, aliases resolved.
Values values_of(const po::parsed_options& parsed) {
  Values values;
  for (const auto& option : parsed.options) {
    const auto alias = aliases().find(option.string_key);
    values.emplace_back(alias == aliases().end() ? option.string_key : alias->second,
                        option.value.empty() ? "" : option.value.front());
  }
  return values;
}

// Program_options says what is wrong, but not what would be right.
std::string explain(const po::error& error, const po::options_description& options) {
  if (const auto* unknown = dynamic_cast<const po::unknown_option*>(&error)) {
    return unknown_name_message("option", without_dashes(unknown->get_option_name()), names_of(options));
  }
  return error.what();
}

Values read_command_line(const SweepCommand& command, std::span<const std::string> arguments) {
  const po::options_description options = command_line_options(command);
  const std::vector<std::string> words(arguments.begin(), arguments.end());
  po::positional_options_description none;
  // Prefixes are not guessed: --layer is a name of its own, and a typo should be told.
  constexpr int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
  try {
    return values_of(po::command_line_parser(words).options(options).positional(none).style(style).run());
  } catch (const po::too_many_positional_options_error&) {
    throw UsageError("zoo {} takes options only, but got {}; write --layers a,b", command.name, shell_command(words));
  } catch (const po::error& error) {
    throw UsageError("zoo {}: {}", command.name, explain(error, options));
  }
}

// Line by line, so that an error can name its line: the parser of whole files does not know it.
Values read_config_file(const SweepCommand& command, const std::string& path) {
  std::ifstream file(path);
  if (!file) throw UsageError("cannot open the config file '{}'; give the path of a text file", path);
  po::options_description options;
  options.add(command_options(command)).add(setting_options(command));
  Values values;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    try {
      if (trim(line).starts_with('[')) throw po::error("there are no sections");
      std::istringstream alone(line);
      for (auto& value : values_of(po::parse_config_file(alone, options))) values.push_back(std::move(value));
    } catch (const po::error& error) {
      throw UsageError("{}:{}: {}; a line is 'name = value', for example 'layers = attention,base_conv'", path, number,
                       explain(error, options));
    }
  }
  if (file.bad()) throw UsageError("cannot read the config file '{}'; give the path of a text file", path);
  return values;
}

// The value of a name, taken out of the settings; given twice is an error.
std::optional<std::string> take(Values& values, const std::string& name, const std::string& origin) {
  std::optional<std::string> found;
  std::erase_if(values, [&](const auto& value) {
    if (value.first != name) return false;
    if (found) throw UsageError("--{} is given twice in {}; say it once", name, origin);
    found = value.second;
    return true;
  });
  return found;
}

const Preset& find_preset(const SweepCommand& command, const std::string& name) {
  const auto at = std::ranges::find(command.presets, name, &Preset::name);
  if (at != command.presets.end()) return *at;
  std::vector<std::string> names;
  for (const Preset& preset : command.presets) names.push_back(preset.name);
  throw UsageError(unknown_name_message("preset", name, names));
}

SweepShard parse_shard(const std::string& text) {
  const auto numbers = split(text, '/');
  if (numbers.size() != 2) throw UsageError("--shard is '{}'; write I/N, for example 1/4 for the first of four", text);
  const std::int64_t most = 1 << 20;
  const std::int64_t number = parse_integer("--shard " + text, numbers[0], 1);
  const std::int64_t count = parse_integer("--shard " + text, numbers[1], 1);
  if (number > count || count > most) {
    throw UsageError("--shard is {}; shards count from 1 to N, and N is at most {}", text, most);
  }
  return {static_cast<int>(number), static_cast<int>(count)};
}

int parse_workers(const std::string& text) {
  constexpr int most_workers = 1024;
  const std::int64_t count = parse_integer("--workers", text, 1);
  if (count > most_workers) throw UsageError("--workers is {}; it must be at most {}", count, most_workers);
  return static_cast<int>(count);
}

}  // namespace

std::string sweep_help(const SweepCommand& command) {
  std::ostringstream text;
  text << command.usage << "\n\nUsage: zoo " << command.name
       << " [OPTIONS]\n\n"
          "Comma lists multiply into a sweep; --seq-len and --kv-pairs go in pairs. Runs that the store has are not\n"
          "made again; Ctrl-C stops, and the same command goes on.\n\n"
       << command_line_options(command);
  if (command.presets.size() > 1) {
    text << "\nPresets:\n";
    for (const Preset& preset : command.presets) text << fmt::format("  {:<14} {}\n", preset.name, preset.description);
  }
  return text.str();
}

std::optional<SweepOptions> parse_sweep_options(const SweepCommand& command, std::span<const std::string> arguments) {
  const std::string command_line = "the command line";
  Values given = read_command_line(command, arguments);
  if (take(given, "help", command_line)) return std::nullopt;
  const bool dry_run = take(given, "dry-run", command_line).has_value();
  const auto config = take(given, "config", command_line);
  const std::string file = config ? "config file " + *config : "";
  Values from_file = config ? read_config_file(command, *config) : Values{};
  const auto choose = [&](const std::string& name) {
    const auto in_file = take(from_file, name, file);
    auto chosen = take(given, name, command_line);
    return chosen ? chosen : in_file;
  };

  SweepOptions options;
  options.dry_run = dry_run;
  auto chosen_preset = choose("preset");
  for (const auto& [name, help] : command.shortcuts) {
    if (!take(given, name, command_line)) continue;
    if (chosen_preset && *chosen_preset != name) {
      throw UsageError("--{} and --preset {} contradict", name, *chosen_preset);
    }
    chosen_preset = name;
  }
  const std::string preset_name = chosen_preset.value_or(command.presets.front().name);
  const Preset& preset = find_preset(command, preset_name);
  options.store = choose("store").value_or(options.store);
  options.out = choose("out").value_or("out/" + command.name);
  options.workers = parse_workers(choose("workers").value_or(std::to_string(default_workers())));
  options.shard = parse_shard(choose("shard").value_or("1/1"));
  for (const auto& [name, path] : {std::pair{"store", options.store}, std::pair{"out", options.out}}) {
    if (path.empty()) throw UsageError("--{} is empty; give a path", name);
  }
  for (const SettingName& own : command.own) {
    if (auto value = choose(own.name)) options.own[own.name] = *value;
  }
  options.sources = {preset.settings};
  if (config) options.sources.push_back({file, from_file});
  options.sources.push_back({command_line, given});
  return options;
}

}  // namespace zoo
