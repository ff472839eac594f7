#include "runners/sweep_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>

#include "runners/arguments.h"
#include "runners/mpi_job.h"
#include "zoo/core/device.h"
#include "zoo/core/error.h"
#include "zoo/core/parallel.h"
#include "zoo/core/plugin_loader.h"
#include "zoo/report/report.h"
#include "zoo/report/summary.h"
#include "zoo/report/table.h"
#include "zoo/sweep/environment.h"
#include "zoo/sweep/forecast.h"
#include "zoo/sweep/halving.h"
#include "zoo/sweep/lock.h"
#include "zoo/sweep/plan.h"
#include "zoo/sweep/progress.h"
#include "zoo/sweep/sweep.h"
#include "zoo/sweep/text.h"

namespace zoo {

namespace {

// Another process of this very program; plugins that this one has opened need no second trial.
std::vector<std::string> worker_command() {
  std::vector<std::string> words = {"/proc/self/exe"};
  for (const std::string& plugin : loaded_plugins()) words.insert(words.end(), {"--tried-plugin", plugin});
  add_device(words);
  words.insert(words.end(), {"worker", "serve"});
  return words;
}

void check_out(const std::string& out) {
  std::error_code error;
  std::filesystem::create_directories(out, error);
  if (error || !std::filesystem::is_directory(out) || access(out.c_str(), W_OK) != 0) {
    throw UsageError("cannot write into --out '{}'{}; give a folder that you can write to", out,
                     error ? ": " + error.message() : "");
  }
}

int forecast(const SweepOptions& options, const std::vector<RunSpec>& runs, const std::vector<RunEstimate>& estimates) {
  std::vector<Run> earlier;
  std::vector<bool> finished(runs.size(), false);
  if (std::filesystem::exists(options.store)) {
    const Store store(options.store, Store::Mode::read);
    earlier = store.runs();
    for (std::size_t run = 0; run < runs.size(); ++run) finished[run] = is_finished(store, runs[run].id());
  }
  const auto speeds = training_speeds(runs, estimates, earlier, execute_run);
  fmt::print("{}", forecast_table(runs, estimates, finished, speeds, options.workers));
  return 0;
}

// What the store knows of the sweep's runs, in the sweep's order.
std::vector<Run> recorded(const Store& store, const std::vector<RunSpec>& runs) {
  std::vector<Run> all;
  for (const RunSpec& spec : runs) {
    if (auto run = store.find(spec.id())) all.push_back(std::move(*run));
  }
  return all;
}

void show_files(const std::vector<Run>& results, const std::string& out, const std::string& command) {
  const report::ReportFiles files = report::write_report(
      results, out, command, [](const std::string& warning) { fmt::print(stderr, "{}\n", warning); });
  for (const auto& file : {files.csv, files.json, files.html}) fmt::print("{}\n", file.string());
}

// Which runs must be made in one place: those that a search compares. Each other run stands alone.
std::vector<std::vector<std::size_t>> inseparable(const std::vector<RunSpec>& runs) {
  std::vector<std::vector<std::size_t>> groups;
  std::map<std::string, std::size_t> places;
  for (std::size_t run = 0; run < runs.size(); ++run) {
    const auto [place, is_new] = places.try_emplace(search_key(runs[run]), groups.size());
    if (is_new) groups.emplace_back();
    groups[place->second].push_back(run);
  }
  return groups;
}

// The runs of a shard, with their estimates: the largest first, each to the shard that has least to do, so that all
// take about as long. In the sweep's order.
void keep_shard(const SweepShard& shard, std::vector<RunSpec>& runs, std::vector<RunEstimate>& estimates) {
  auto groups = inseparable(runs);
  const auto work = [&](const std::vector<std::size_t>& group) {
    double flops = 1;
    for (const std::size_t run : group) flops += estimates[run].flops;
    return flops;
  };
  std::ranges::stable_sort(groups, std::greater(), work);
  std::vector<double> load(static_cast<std::size_t>(shard.count), 0);
  std::vector<std::size_t> kept;
  for (const auto& group : groups) {
    const auto least = std::ranges::min_element(load) - load.begin();
    load[static_cast<std::size_t>(least)] += work(group);
    if (least + 1 == shard.number) kept.insert(kept.end(), group.begin(), group.end());
  }
  std::ranges::sort(kept);
  std::vector<RunSpec> some;
  std::vector<RunEstimate> theirs;
  for (const std::size_t run : kept) {
    some.push_back(runs[run]);
    theirs.push_back(estimates[run]);
  }
  runs = std::move(some);
  estimates = std::move(theirs);
}

}  // namespace

void show_table(const std::vector<Run>& results) {
  fmt::print("{}\n", report::format_table(report::summarise(results), terminal_width(STDOUT_FILENO)));
}

int run_sweep_command(const SweepCommand& command, std::span<const std::string> arguments, const PlanRuns& plan,
                      const ShowResults& show) {
  const std::unique_ptr<Ranks> ranks = open_mpi_job();
  if (ranks && ranks->rank() > 0) {
    try {
      serve_rank(*ranks, worker_command());
    } catch (const std::exception& error) {
      // Rank 0 would wait for it for ever. What has been finished is in the store.
      fmt::print(stderr, "zoo: rank {}: {}\n", ranks->rank(), error.what());
      ranks->abort(1);
    }
    return 0;
  }
  // However this ends, the other ranks must not wait for more.
  const std::shared_ptr<void> dismissal(nullptr, [&](void*) {
    if (ranks) dismiss_ranks(*ranks);
  });
  const auto options = parse_sweep_options(command, arguments);
  if (!options) {
    fmt::print("{}", sweep_help(command));
    return 0;
  }
  set_threads(1);  // as the workers, so that what is measured here holds for them
  std::vector<RunSpec> runs = plan(*options);
  std::vector<RunEstimate> estimates = estimate_runs(runs, estimate_run);
  if (options->shard.count > 1) keep_shard(options->shard, runs, estimates);
  if (options->dry_run) return forecast(*options, runs, estimates);

  check_out(options->out);
  const StoreLock lock(options->store);
  Store store(options->store);
  const std::string line = command_line({"zoo", command.name}, arguments);
  SweepRequest request{.runs = runs,
                       .estimates = estimates,
                       .store_path = options->store,
                       .workers = ranks ? ranks->size() - 1 : options->workers,
                       .worker_command = worker_command(),
                       .environment = describe_environment(1, loaded_plugins(), line)};
  if (ranks) request.make_workers = [&] { return std::make_unique<RankWorkers>(*ranks); };
  const SweepResult result = run_sweep(request, store);
  const std::vector<Run> results = recorded(store, runs);
  if (!results.empty()) {
    show(results);
    show_files(results, options->out, line);
  }
  if (result.failed > 0) {
    fmt::print(stderr, "{} of {} runs failed; the reasons are in the report, and the same command tries them again\n",
               result.failed, runs.size());
  }
  if (result.interrupted) {
    fmt::print(stderr, "stopped with {} of {} runs left; to go on:\n  {}\n", result.left, runs.size(), line);
  }
  return result.exit_code();
}

}  // namespace zoo
