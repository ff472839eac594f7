#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <span>
#include <string>
#include <vector>

#include "runners/command.h"
#include "zoo/core/error.h"
#include "zoo/core/parallel.h"
#include "zoo/core/plugin_loader.h"
#include "zoo/io/store.h"
#include "zoo/sweep/compare.h"
#include "zoo/sweep/environment.h"
#include "zoo/sweep/interrupt.h"
#include "zoo/sweep/plan.h"
#include "zoo/sweep/progress.h"
#include "zoo/sweep/text.h"
#include "zoo/train/run.h"

namespace zoo {
namespace {

namespace po = boost::program_options;

struct Request {
  std::string id;
  std::string store = "runs.db";
  bool help = false;
};

po::options_description describe_options() {
  po::options_description options;
  options.add_options()                                                      //
      ("run-id", po::value<std::string>(), "the run, as in results.csv")     //
      ("store", po::value<std::string>(), "where it is recorded (runs.db)")  //
      ("help", po::bool_switch(), "this text");
  return options;
}

Request parse(std::span<const std::string> arguments) {
  Request request;
  try {
    po::positional_options_description positional;
    positional.add("run-id", 1);
    constexpr int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
    po::variables_map values;
    const std::vector<std::string> words(arguments.begin(), arguments.end());
    po::store(po::command_line_parser(words).options(describe_options()).positional(positional).style(style).run(),
              values);
    request.help = values["help"].as<bool>();
    if (values.contains("run-id")) request.id = values["run-id"].as<std::string>();
    if (values.contains("store")) request.store = values["store"].as<std::string>();
  } catch (const po::error& error) {
    throw UsageError("zoo reproduce: {}; it takes RUN_ID and --store FILE", error.what());
  }
  if (request.id.empty() && !request.help)
    throw UsageError("zoo reproduce needs a run: zoo reproduce RUN_ID --store FILE");
  return request;
}

Run find_run(const Request& request) {
  const Store store(request.store, Store::Mode::read);
  const auto run = store.find(request.id);
  if (!run) {
    std::vector<std::string> ids;
    for (const Run& known : store.runs()) ids.push_back(known.id);
    const std::string nearest = nearest_name(request.id, ids);
    throw UsageError("'{}' holds no run '{}'{}; results.csv lists the runs in column run_id", request.store, request.id,
                     nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
  }
  if (run->status != RunStatus::done && run->status != RunStatus::diverged) {
    throw UsageError("run {} has no results to compare with: it is recorded as {}", request.id,
                     status_name(run->status));
  }
  if (run->spec.setting.value("task", "") == "lm") {
    throw UsageError("run {} is of a language model; the command that made it makes it again with another --out: {}",
                     request.id, run->environment.value("command", "zoo lm train"));
  }
  return *run;
}

// The run made again from its record, nothing written anywhere.
Run make_again(const Run& recorded) {
  Run again{.id = recorded.id,
            .spec = recorded.spec,
            .status = RunStatus::running,
            .message = {},
            .environment = {},
            .summary = {},
            .started = {},
            .finished = {},
            .epochs = {},
            .slices = {}};
  SweepProgress progress({describe_run(recorded.spec)}, {1.0}, 1);
  progress.start(0, false);
  // What others' results ended early is ended at the same place.
  const bool stopped = recorded.summary.is_object() && recorded.summary.contains("stopped");
  const std::int64_t end_after = stopped ? recorded.summary.at("epochs").get<std::int64_t>() : 0;
  const RunOutcome outcome = execute_run(recorded.spec, "",
                                         {.epoch = [&](const EpochResult& epoch) { again.epochs.push_back(epoch); },
                                          .progress =
                                              [&](const RunProgress& where) {
                                                progress.progress(0, where);
                                                progress.refresh();
                                              },
                                          .stop_requested = [] { return InterruptGuard::count() > 0; }},
                                         {.pause_after = 0, .end_after = end_after});
  again.status = outcome.status;
  again.message = outcome.message;
  again.summary = outcome.summary;
  again.slices = outcome.slices;
  return again;
}

int run(std::span<const std::string> arguments) {
  const Request request = parse(arguments);
  if (request.help) {
    std::ostringstream options;
    options << describe_options();
    fmt::print(
        "Make a recorded run again and compare every figure bit for bit.\n\n"
        "Usage: zoo reproduce RUN_ID [--store FILE]\n\n{}\n"
        "Exit code: 0 equal, 1 different, 2 no such run.\n",
        options.str());
    return 0;
  }
  const Run recorded = find_run(request);
  const int thread_count = recorded.environment.value("threads", 1);
  set_threads(thread_count);
  const InterruptGuard guard;
  const Run again = make_again(recorded);
  if (again.status == RunStatus::interrupted) {
    fmt::print(stderr, "stopped; nothing was compared\n");
    return 130;
  }
  const auto differences = result_differences(recorded, again);
  const auto environment =
      environment_differences(recorded.environment, describe_environment(thread_count, loaded_plugins(), ""));
  if (differences.empty()) {
    fmt::print("{}: equal, bit for bit: {} epochs, {} slices\n", recorded.id, recorded.epochs.size(),
               recorded.slices.size());
  } else {
    fmt::print("{}: {} figures differ:\n  {}\n", recorded.id, differences.size(), fmt::join(differences, "\n  "));
  }
  if (!environment.empty()) fmt::print("The environment is another:\n  {}\n", fmt::join(environment, "\n  "));
  if (!differences.empty() && environment.empty()) {
    fmt::print("The environment is the same, so this should not be: please report it.\n");
  }
  return differences.empty() ? 0 : 1;
}

const RegisterCommand command({.name = "reproduce",
                               .help = "make a recorded run again and compare bit for bit",
                               .run = run});

}  // namespace
}  // namespace zoo
