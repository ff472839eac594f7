#include "zoo/sweep/forecast.h"

#include <fmt/format.h>

#include <algorithm>

#include "zoo/core/error.h"
#include "zoo/sweep/plan.h"
#include "zoo/sweep/units.h"
#include "zoo/sweep/work.h"

namespace zoo {

namespace {

std::string layer_of(const RunSpec& spec) {
  return spec.subject.at("layer").get<std::string>();
}

// FLOP/s over all that ended with a time.
TrainingSpeed speed_of_earlier(const std::string& layer, const std::vector<Run>& earlier) {
  double flops = 0;
  double seconds = 0;
  int count = 0;
  for (const Run& run : earlier) {
    if (run.status != RunStatus::done || layer_of(run.spec) != layer || !run.summary.contains("flops")) continue;
    flops += run.summary.at("flops").get<double>();
    seconds += run.summary.value("train_seconds", 0.0);
    ++count;
  }
  if (seconds <= 0 || flops <= 0) return {};
  return {flops / seconds, fmt::format("{} earlier {} in the store", count, count == 1 ? "run" : "runs")};
}

// Two batches of this run's first kind of examples, nothing kept.
TrainingSpeed measured_speed(RunSpec spec, const ExecuteRun& execute) {
  nlohmann::json& cell = spec.axes.at("cell");
  nlohmann::json part = cell.at("train").front();
  part["examples"] = std::min(part.at("examples").get<std::int64_t>(), 2 * cell.at("batch_size").get<std::int64_t>());
  cell["train"] = nlohmann::json::array({part});
  part["examples"] = 1;
  cell["test"] = nlohmann::json::array({part});
  spec.setting["epochs"] = 1;
  spec.setting["stop_accuracy"] = nullptr;
  const RunOutcome outcome = execute(spec, "", {});
  const double seconds = outcome.summary.value("train_seconds", 0.0);
  if (seconds <= 0) return {};
  return {outcome.summary.value("flops", 0.0) / seconds, "training two batches of its smallest run just now"};
}

}  // namespace

std::map<std::string, TrainingSpeed> training_speeds(const std::vector<RunSpec>& runs,
                                                     const std::vector<RunEstimate>& estimates,
                                                     const std::vector<Run>& earlier, const ExecuteRun& execute) {
  std::map<std::string, std::size_t> smallest;
  for (std::size_t run = 0; run < runs.size(); ++run) {
    const auto [at, fresh] = smallest.try_emplace(layer_of(runs[run]), run);
    if (!fresh && estimates[run].flops < estimates[at->second].flops) at->second = run;
  }
  std::map<std::string, TrainingSpeed> speeds;
  for (const auto& [layer, run] : smallest) {
    speeds[layer] = speed_of_earlier(layer, earlier);
    if (speeds[layer].flops_per_second <= 0) speeds[layer] = measured_speed(runs[run], execute);
  }
  return speeds;
}

std::string forecast_table(const std::vector<RunSpec>& runs, const std::vector<RunEstimate>& estimates,
                           const std::vector<bool>& finished, const std::map<std::string, TrainingSpeed>& speeds,
                           int workers) {
  std::size_t width = 3;
  for (const RunSpec& run : runs) width = std::max(width, describe_run(run).size());
  std::string table = fmt::format("{:<{}}  {:>11} {:>11} {:>13}  {}\n", "run", width, "parameters", "state", "training",
                                  "time at most");
  std::vector<double> left;
  for (std::size_t run = 0; run < runs.size(); ++run) {
    const double speed = speeds.at(layer_of(runs[run])).flops_per_second;
    const double seconds = speed > 0 ? estimates[run].flops / speed : 0;
    if (!finished[run]) left.push_back(seconds);
    table += fmt::format("{:<{}}  {:>11} {:>11} {:>13}  {}\n", describe_run(runs[run]), width,
                         estimates[run].parameters, human_bytes(estimates[run].state_bytes),
                         human_flops(estimates[run].flops), finished[run] ? "done already" : human_seconds(seconds));
  }
  table += "\nState: bytes after the longest test sequence, batch 1, all blocks. Early stopping shortens runs.\n";
  for (const auto& [layer, speed] : speeds) {
    table += fmt::format("{}: {}/s on one core, known from {}\n", layer, human_flops(speed.flops_per_second),
                         speed.known_from);
  }
  table += fmt::format("\n{} runs, {} done already; the other {} take at most {} on {} {}.\n", runs.size(),
                       runs.size() - left.size(), left.size(), human_seconds(makespan({}, left, workers)), workers,
                       workers == 1 ? "worker" : "workers");
  return table;
}

}  // namespace zoo
