#include "zoo/sweep/forecast.h"

#include <fmt/format.h>

#include <algorithm>

#include "zoo/sweep/plan.h"
#include "zoo/sweep/units.h"
#include "zoo/sweep/work.h"

namespace zoo {

namespace {

// FLOP/s over all that would stand in one table with `spec` and ended with a time.
TrainingSpeed speed_of_earlier(const RunSpec& spec, const std::vector<Run>& earlier) {
  double flops = 0;
  double seconds = 0;
  int count = 0;
  for (const Run& run : earlier) {
    const bool alike =
        run.spec.subject == spec.subject && run.spec.setting == spec.setting && width_of(run.spec) == width_of(spec);
    if (run.status != RunStatus::done || !alike || !run.summary.contains("flops")) continue;
    flops += run.summary.at("flops").get<double>();
    seconds += run.summary.value("train_seconds", 0.0);
    ++count;
  }
  if (seconds <= 0 || flops <= 0) return {};
  return {flops / seconds, fmt::format("{} earlier {} in the store", count, count == 1 ? "run" : "runs")};
}

// Two small batches of this run's first kind of examples, nothing kept. A batch is trained in parts of a few sequences,
// so a small one is as fast as a large one.
TrainingSpeed measured_speed(RunSpec spec, const ExecuteRun& execute) {
  constexpr std::int64_t most_sequences = 32;
  nlohmann::json& cell = spec.axes.at("cell");
  const std::int64_t batch = std::min(most_sequences, cell.at("batch_size").get<std::int64_t>());
  nlohmann::json part = cell.at("train").front();
  part["examples"] = 2 * batch;
  cell["batch_size"] = batch;
  cell["train"] = nlohmann::json::array({part});
  part["examples"] = 1;
  cell["test"] = nlohmann::json::array({part});
  cell.erase("validation");
  spec.setting["epochs"] = 1;
  spec.setting["stop_accuracy"] = nullptr;
  // The first also pays for memory and for kernels made for these shapes, and any may be disturbed: the best counts.
  double speed = 0;
  for (int repetition = 0; repetition < 3; ++repetition) {
    const RunOutcome outcome = execute(spec, "", {});
    const double seconds = outcome.summary.value("train_seconds", 0.0);
    if (seconds > 0) speed = std::max(speed, outcome.summary.value("flops", 0.0) / seconds);
  }
  return {speed, "a short training just now"};
}

}  // namespace

std::string speed_key(const RunSpec& spec) {
  return fmt::format("{} d_model {}", spec.subject.at("layer").get<std::string>(), width_of(spec));
}

std::map<std::string, TrainingSpeed> training_speeds(const std::vector<RunSpec>& runs,
                                                     const std::vector<RunEstimate>& estimates,
                                                     const std::vector<Run>& earlier, const ExecuteRun& execute) {
  std::map<std::string, std::size_t> smallest;
  for (std::size_t run = 0; run < runs.size(); ++run) {
    const auto [at, fresh] = smallest.try_emplace(speed_key(runs[run]), run);
    if (!fresh && estimates[run].flops < estimates[at->second].flops) at->second = run;
  }
  std::map<std::string, TrainingSpeed> speeds;
  for (const auto& [key, run] : smallest) {
    speeds[key] = speed_of_earlier(runs[run], earlier);
    if (speeds[key].flops_per_second <= 0) speeds[key] = measured_speed(runs[run], execute);
  }
  return speeds;
}

std::string forecast_table(const std::vector<RunSpec>& runs, const std::vector<RunEstimate>& estimates,
                           const std::vector<bool>& finished, const std::map<std::string, TrainingSpeed>& speeds,
                           int workers) {
  std::size_t width = 3;
  const std::vector<std::string> names = describe_runs(runs);
  for (const std::string& name : names) width = std::max(width, name.size());
  std::string table = fmt::format("{:<{}}  {:>11} {:>11} {:>13}  {}\n", "run", width, "parameters", "state", "training",
                                  "time at most");
  std::vector<double> left;
  for (std::size_t run = 0; run < runs.size(); ++run) {
    const double speed = speeds.at(speed_key(runs[run])).flops_per_second;
    const double seconds = speed > 0 ? estimates[run].flops / speed : 0;
    if (!finished[run]) left.push_back(seconds);
    table += fmt::format("{:<{}}  {:>11} {:>11} {:>13}  {}\n", names[run], width, estimates[run].parameters,
                         human_bytes(estimates[run].state_bytes), human_flops(estimates[run].flops),
                         finished[run] ? "done already" : human_seconds(seconds));
  }
  table += "\nState: bytes after the longest test sequence, batch 1, all blocks. Early stopping shortens runs.\n";
  for (const auto& [key, speed] : speeds) {
    table += fmt::format("{}: {}/s on one core, known from {}\n", key, human_flops(speed.flops_per_second),
                         speed.known_from);
  }
  table += fmt::format("\n{} runs, {} done already; the other {} take at most {} on {} {}.\n", runs.size(),
                       runs.size() - left.size(), left.size(), human_seconds(makespan({}, left, workers)), workers,
                       workers == 1 ? "worker" : "workers");
  return table;
}

}  // namespace zoo
