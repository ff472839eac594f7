#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>
#include <string>

#include "runners/arguments.h"
#include "runners/lm/compare_runs.h"
#include "runners/lm/lm.h"
#include "runners/lm/options.h"
#include "zoo/core/error.h"
#include "zoo/sweep/text.h"

namespace zoo {
namespace {

namespace po = boost::program_options;
namespace fs = std::filesystem;

po::options_description describe_options() {
  po::options_description options;
  options.add_options()                                                                             //
      ("layers", po::value<std::string>(), "layers or hybrids, a,b,c")                              //
      ("seeds", po::value<std::string>(), "one run of each layer for every seed, 0,1,2 (0)")        //
      ("out", po::value<std::string>(), "folder of the runs, their store runs.db, and the report")  //
      ("runs", po::value<std::string>(),
       "compare runs that are there already: their folders, or those of whole comparisons, a,b,c");
  options.add(lm_choice_options()).add(lm_run_options());
  options.add_options()("help,h", po::bool_switch(), "this text");
  return options;
}

std::string usage() {
  std::ostringstream text;
  text << "Trains a language model of each layer with nothing else different, and compares them. What was trained\n"
          "before is not trained again; Ctrl-C stops, and the same command goes on.\n\n"
          "Usage: zoo lm compare --layers A,B,... --corpus DIR --out DIR [OPTIONS]\n"
          "       zoo lm compare --runs DIR,DIR,... --out DIR\n\n"
       << describe_options()
       << "\nFor example:\n"
          "  zoo lm compare --layers attention,mamba,ttt_linear --corpus corpus --preset tiny --steps 300 --out cmp\n";
  return text.str();
}

// A run's folder, or those in the folder of a comparison, by name.
std::vector<fs::path> run_folders(const fs::path& folder) {
  if (fs::exists(folder / "run.json") || !fs::is_directory(folder)) return {folder};
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (fs::exists(entry.path() / "run.json")) found.push_back(entry.path());
  }
  std::ranges::sort(found);
  return found.empty() ? std::vector{folder} : found;
}

// The run whose folder this is, from the store in it or beside it.
LmRunRecord read_run(const fs::path& folder) {
  std::ifstream file(folder / "run.json");
  const nlohmann::json record = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object() || !record.value("id", nlohmann::json()).is_string()) {
    throw UsageError(
        "{} is no folder of a run of zoo lm, or of several: neither it nor a folder in it has a run.json that says so",
        folder.string());
  }
  const auto id = record["id"].get<std::string>();
  const fs::path recorded = record.value("store", "");
  // Where it was, or where it is after the folders were moved.
  for (const fs::path& path : {recorded, folder / "runs.db", folder.parent_path() / "runs.db"}) {
    if (path.empty() || !fs::exists(path)) continue;
    const Store store(path.string(), Store::Mode::read);
    if (const auto run = store.find(id)) return read_lm_run(*run, folder);
  }
  throw UsageError("the store of run {} ({}) is neither where it was ({}) nor in the folder or beside it (runs.db)", id,
                   folder.string(), recorded.string());
}

int run(std::span<const std::string> arguments) {
  const po::variables_map values = read_arguments("zoo lm compare", describe_options(), arguments);
  if (values["help"].as<bool>()) {
    fmt::print("{}", usage());
    return 0;
  }
  const std::string command = command_line({"zoo", "lm", "compare"}, arguments);
  const fs::path out = needed_option("compare", values, "out");
  if (values.contains("runs")) {
    if (values.contains("layers"))
      throw UsageError("--layers and --runs are two ways to say what is compared; give one");
    std::vector<LmRunRecord> records;
    for (const std::string& folder : split_list("--runs", values["runs"].as<std::string>())) {
      for (const fs::path& run : run_folders(folder)) records.push_back(read_run(run));
    }
    std::vector<LmSubject> subjects;
    for (auto& group : group_comparable(std::move(records))) std::ranges::move(group, std::back_inserter(subjects));
    check_comparable(subjects);
    show_comparison(subjects, "Language models compared", out, command);
    return 0;
  }
  const auto layers = split_list("--layers", needed_option("compare", values, "layers"));
  if (values.contains("seed") && values.contains("seeds")) throw UsageError("--seed and --seeds contradict; give one");
  LmChoices choices = read_lm_choices(values, layers);
  std::vector<std::int64_t> seeds = {static_cast<std::int64_t>(choices.seed)};
  if (values.contains("seeds")) seeds = parse_integers("--seeds", values["seeds"].as<std::string>(), 0);
  const Corpus corpus(needed_option("compare", values, "corpus"));
  const auto all_options = choices.layer_options;
  std::vector<LmPlanned> planned;
  for (const std::string& layer : layers) {
    LmPlanned one{.label = layer, .published = "", .folder = layer, .specs = {}};
    choices.layer_options = options_for(layer, all_options);
    for (const std::int64_t seed : seeds) {
      choices.seed = static_cast<std::uint64_t>(seed);
      one.specs.push_back(plan_lm(layer, choices, identity_of(corpus)));
    }
    planned.push_back(std::move(one));
  }
  return with_ranks([&](Collective& ranks) {
    return compare_planned(ranks, planned, "Language models under identical settings", corpus, out,
                           read_lm_run_options(values), command, /*backbones=*/false);
  });
}

const RegisterLm command({.name = "compare", .help = "train several layers alike and compare them", .run = run});

}  // namespace
}  // namespace zoo
