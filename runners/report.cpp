#include "zoo/report/report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "runners/command.h"
#include "runners/lm/compare_runs.h"
#include "zoo/core/error.h"
#include "zoo/io/merge_runs.h"
#include "zoo/io/store.h"
#include "zoo/report/summary.h"
#include "zoo/report/table.h"
#include "zoo/sweep/progress.h"

namespace zoo {
namespace {

namespace po = boost::program_options;

struct Request {
  std::vector<std::string> stores = {"runs.db"};
  std::string out = "out/report";
};

po::options_description describe_options() {
  po::options_description options;
  options.add_options()  //
      ("store", po::value<std::vector<std::string>>()->multitoken()->composing(),
       "where the runs are recorded; several are put together (runs.db)")                                     //
      ("out", po::value<std::string>(), "folder for results.csv, results.json and report.html (out/report)")  //
      ("help", po::bool_switch(), "this text");
  return options;
}

std::optional<Request> parse(std::span<const std::string> arguments) {
  Request request;
  try {
    constexpr int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
    po::variables_map values;
    const std::vector<std::string> words(arguments.begin(), arguments.end());
    po::store(po::command_line_parser(words)
                  .options(describe_options())
                  .positional(po::positional_options_description())
                  .style(style)
                  .run(),
              values);
    if (values["help"].as<bool>()) return std::nullopt;
    if (values.contains("store")) request.stores = values["store"].as<std::vector<std::string>>();
    if (values.contains("out")) request.out = values["out"].as<std::string>();
  } catch (const po::error& error) {
    throw UsageError("zoo report: {}; it takes --store FILE... and --out DIR", error.what());
  }
  if (request.out.empty()) throw UsageError("--out is empty; give a path");
  return request;
}

int run(std::span<const std::string> arguments) {
  const std::optional<Request> request = parse(arguments);
  if (!request) {
    fmt::print(
        "Usage: zoo report [--store FILE...] [--out DIR]\n\n"
        "Shows the results that a store or several hold, and writes them as a page with plots and as files for other "
        "tools. "
        "Runs\nwhose settings differ have a table each. It may run while a sweep is still recording.\n\n");
    std::ostringstream options;
    options << describe_options();
    fmt::print("{}", options.str());
    return 0;
  }
  std::vector<std::vector<Run>> stores;
  for (const std::string& store : request->stores) stores.push_back(Store(store, Store::Mode::read).runs());
  std::vector<Run> runs = merge_runs(std::move(stores));
  const auto is_sweep = [](const Run& run) { return run.spec.setting.value("task", "") != "lm"; };
  const auto models = std::stable_partition(runs.begin(), runs.end(), is_sweep);
  if (models != runs.end()) {
    const bool alone = models == runs.begin();
    show_recorded({models, runs.end()}, alone ? request->out : request->out + "/lm");
    if (alone) return 0;
    runs.erase(models, runs.end());
  }
  fmt::print("{}\n", report::format_table(report::summarise(runs), terminal_width(STDOUT_FILENO)));
  const report::ReportFiles files = report::write_report(
      runs, request->out, "", [](const std::string& warning) { fmt::print(stderr, "zoo: {}\n", warning); });
  for (const auto& file : {files.csv, files.json, files.html}) fmt::print("{}\n", file.string());
  return 0;
}

const RegisterCommand command({.name = "report", .help = "tables, plots and files of recorded runs", .run = run});

}  // namespace
}  // namespace zoo
