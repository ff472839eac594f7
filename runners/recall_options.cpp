#include "runners/recall_options.h"

#include <fmt/format.h>

#include <boost/program_options.hpp>
#include <fstream>
#include <map>
#include <sstream>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/sweep/presets.h"
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
po::options_description command_options() {
  po::options_description options;
  std::vector<std::string> names;
  for (const Preset& preset : presets()) names.push_back(preset.name);
  const std::string preset_help = fmt::format("settings to start from: {} (quick)", fmt::join(names, ", "));
  const std::string workers_help = fmt::format("worker processes, one core each ({})", default_workers());
  options.add_options()                                                                         //
      ("preset", po::value<std::string>(), preset_help.c_str())                                 //
      ("workers", po::value<std::string>(), workers_help.c_str())                               //
      ("store", po::value<std::string>(), "where runs are recorded, an SQLite file (runs.db)")  //
      ("out", po::value<std::string>(), "folder for results.csv, results.json and report.html (out/recall)");
  return options;
}

po::options_description setting_options() {
  po::options_description options;
  for (const SettingName& setting : setting_names()) {
    options.add_options()(setting.name.c_str(), po::value<std::string>(), setting.help.c_str());
  }
  for (const auto& [alias, name] : aliases()) {
    options.add_options()(alias.c_str(), po::value<std::string>(), ("same as --" + name).c_str());
  }
  return options;
}

po::options_description command_line_options() {
  po::options_description options;
  options.add(command_options()).add(setting_options());
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

Values read_command_line(std::span<const std::string> arguments) {
  const po::options_description options = command_line_options();
  const std::vector<std::string> words(arguments.begin(), arguments.end());
  po::positional_options_description none;
  // Prefixes are not guessed: --layer is a name of its own, and a typo should be told.
  constexpr int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
  try {
    return values_of(po::command_line_parser(words).options(options).positional(none).style(style).run());
  } catch (const po::too_many_positional_options_error&) {
    throw UsageError("zoo recall takes options only, but got {}; write --layers a,b", shell_command(words));
  } catch (const po::error& error) {
    throw UsageError("zoo recall: {}", explain(error, options));
  }
}

// Line by line, so that an error can name its line: the parser of whole files does not know it.
Values read_config_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw UsageError("cannot open the config file '{}'; give the path of a text file", path);
  po::options_description options;
  options.add(command_options()).add(setting_options());
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

}  // namespace

std::string recall_help() {
  std::ostringstream text;
  text << "Train layers on multi-query associative recall under identical settings, and compare them.\n\n"
          "Usage: zoo recall [OPTIONS]\n\n"
          "Comma lists multiply into a sweep; --seq-len and --kv-pairs go in pairs. Runs that the store has are not\n"
          "made again; Ctrl-C stops, and the same command goes on.\n\n"
       << command_line_options() << "\nPresets:\n";
  for (const Preset& preset : presets()) text << fmt::format("  {:<14} {}\n", preset.name, preset.description);
  return text.str();
}

std::optional<RecallOptions> parse_recall_options(std::span<const std::string> arguments) {
  const std::string command_line = "the command line";
  Values given = read_command_line(arguments);
  if (take(given, "help", command_line)) return std::nullopt;
  const bool dry_run = take(given, "dry-run", command_line).has_value();
  const auto config = take(given, "config", command_line);
  const std::string file = config ? "config file " + *config : "";
  Values from_file = config ? read_config_file(*config) : Values{};
  const auto choose = [&](const std::string& name, const std::string& otherwise) {
    const auto in_file = take(from_file, name, file);
    return take(given, name, command_line).value_or(in_file.value_or(otherwise));
  };

  RecallOptions options;
  options.dry_run = dry_run;
  const Preset& preset = find_preset(choose("preset", "quick"));
  options.store = choose("store", options.store);
  options.out = choose("out", options.out);
  const std::string workers = choose("workers", std::to_string(default_workers()));
  constexpr int most_workers = 1024;
  const std::int64_t count = parse_integer("--workers", workers, 1);
  if (count > most_workers) throw UsageError("--workers is {}; it must be at most {}", count, most_workers);
  options.workers = static_cast<int>(count);
  for (const auto& [name, path] : {std::pair{"store", options.store}, std::pair{"out", options.out}}) {
    if (path.empty()) throw UsageError("--{} is empty; give a path", name);
  }
  std::vector<SettingSource> sources = {preset.settings};
  if (config) sources.push_back({file, from_file});
  sources.push_back({command_line, given});
  options.settings = read_sweep_settings(sources);
  return options;
}

}  // namespace zoo
