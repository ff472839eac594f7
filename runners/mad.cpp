#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "runners/command.h"
#include "runners/mad_grid.h"
#include "runners/mad_table.h"
#include "runners/sweep_command.h"
#include "zoo/core/error.h"
#include "zoo/sweep/plan.h"
#include "zoo/sweep/text.h"

namespace zoo {
namespace {

// The paper's model and training (appendix B): two blocks of a mixer and SwiGLU, RMSNorm, a head of its own.
std::vector<std::pair<std::string, std::string>> common() {
  return {{"layers", "attention,linear_attention,gla,delta_net,mamba"},
          {"layer-option", "attention.positions=rope"},
          {"d-model", "128"},
          {"seeds", "0"},
          {"train-examples", "12800"},
          {"test-examples", "1280"},
          {"batch-size", "128"},
          {"schedule", "cosine"},
          {"final-lr", "0.000001"},
          {"stop-accuracy", "0.999"},
          {"backbone", "transformer"},
          {"feed-forward", "swiglu"},
          {"feed-forward-option", "hidden=352"},
          {"tied-head", "false"},
          {"blocks", "2"}};
}

Preset preset(const std::string& name, const std::string& description,
              const std::vector<std::pair<std::string, std::string>>& more) {
  Preset made{.name = name, .description = description, .settings = {.origin = "preset " + name, .values = common()}};
  made.settings.values.insert(made.settings.values.end(), more.begin(), more.end());
  return made;
}

std::vector<Preset> presets_of_mad() {
  return {preset("full", "the published grid: six runs for each of the variants of six tasks, 200 epochs",
                 {{"lr", "0.0001,0.0005,0.001"}, {"epochs", "200"}}),
          preset("quick", "each task as it stands, one learning rate, 12 epochs",
                 {{"lr", "0.001"}, {"epochs", "12"}, {"weight-decay", "0.1"}})};
}

// The weight decays of the grid are settings, not axes: a sweep of each.
std::vector<std::string> weight_decays(const std::vector<SettingSource>& sources) {
  for (const SettingSource& source : sources) {
    if (std::ranges::find(source.values, "weight-decay", &std::pair<std::string, std::string>::first) !=
        source.values.end()) {
      return {""};
    }
  }
  return {"0", "0.1"};
}

// Which options make cells, and how many examples, is the grid's.
void check_given(const std::vector<SettingSource>& sources) {
  for (const SettingSource& source : sources) {
    for (const auto& [name, value] : source.values) {
      for (const char* own : {"task", "task-option", "seq-len", "kv-pairs", "train", "test", "train-option",
                              "test-option", "vocab-size"}) {
        if (name == own) {
          throw UsageError("--{} is what MAD's grid decides; use zoo train for a setting of your own", name);
        }
      }
    }
  }
}

std::vector<MadTask> chosen_tasks(const SweepOptions& options) {
  std::vector<MadTask> grid = mad_grid(options.sources.front().origin == "preset quick");
  const auto given = options.own.find("tasks");
  if (given == options.own.end()) return grid;
  std::vector<std::string> names;
  for (const MadTask& task : grid) names.push_back(task.name);
  std::vector<MadTask> chosen;
  for (const std::string& name : split_list("--tasks", given->second)) {
    const auto at = std::ranges::find(grid, name, &MadTask::name);
    if (at == grid.end()) throw UsageError(unknown_name_message("task of MAD", name, names));
    chosen.push_back(*at);
  }
  return chosen;
}

std::vector<RunSpec> plan(const SweepOptions& options) {
  check_given(options.sources);
  std::vector<RunSpec> runs;
  for (const MadTask& task : chosen_tasks(options)) {
    for (const std::string& weight_decay : weight_decays(options.sources)) {
      std::vector<SettingSource> sources = options.sources;
      sources.front().values.emplace_back("task", task.name);
      if (!weight_decay.empty()) sources.front().values.emplace_back("weight-decay", weight_decay);
      SweepSettings settings = read_sweep_settings(sources);
      const Cell as_given = settings.cells.front();
      settings.cells.clear();
      for (const CellPart& variant : task.variants) {
        // Fewer examples where fewer were asked for, but the grid's proportions.
        const std::int64_t examples =
            std::max<std::int64_t>(1, variant.examples * as_given.train.front().examples / 12'800);
        settings.cells.push_back({as_given.batch_size,
                                  {CellPart(variant.options, examples)},
                                  {CellPart(variant.options, as_given.test.front().examples)}});
      }
      const auto planned = plan_runs(settings);
      runs.insert(runs.end(), planned.begin(), planned.end());
    }
  }
  return runs;
}

int run(std::span<const std::string> arguments) {
  const SweepCommand command = {
      .name = "mad",
      .usage = "Put layers through the six mechanistic tasks of MAD (Poli et al. 2024) and print its table.",
      .presets = presets_of_mad(),
      .own = {{"tasks", false, "some of the tasks (all)"}},
      .shortcuts = {{"quick", "the same as --preset quick"}}};
  return run_sweep_command(command, arguments, plan,
                           [](const std::vector<Run>& results) { fmt::print("{}\n", mad_table(results)); });
}

const RegisterCommand command({.name = "mad", .help = "compare layers on MAD's mechanistic tasks", .run = run});

}  // namespace
}  // namespace zoo
