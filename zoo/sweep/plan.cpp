#include "zoo/sweep/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "zoo/core/error.h"
#include "zoo/core/task.h"
#include "zoo/nn/backbone.h"
#include "zoo/report/names.h"
#include "zoo/sweep/halving.h"
#include "zoo/sweep/subjects.h"

namespace zoo {

namespace {

using nlohmann::json;

// The options that make the task of one part of a cell.
json task_options_of(const json& common, const json& part) {
  json options = common;
  for (const auto& [name, value] : part.items()) {
    if (name != "examples") options[name] = value;
  }
  return options;
}

// The names of the task's options that any part of any cell gives.
std::set<std::string> cell_options(const std::vector<Cell>& cells) {
  std::set<std::string> names;
  for (const Cell& cell : cells) {
    for (const auto* parts : {&cell.train, &cell.test, &cell.validation}) {
      for (const CellPart& part : *parts) {
        for (const auto& [name, value] : part.options.items()) names.insert(name);
      }
    }
  }
  return names;
}

// The task's options, defaults included, without those that make a cell.
json common_task_options(const SweepSettings& settings) {
  const TaskEntry& entry = task_registry().get(settings.task);
  const json& given = settings.task_options;
  json options = Options(entry.options, given, "task " + settings.task).json();
  for (const std::string& name : cell_options(settings.cells)) {
    if (entry.options.find(name) == nullptr) {
      throw UsageError(
          "task {} has no option {}, which --seq-len, --kv-pairs, --train-option or --test-option gives it",
          settings.task, name);
    }
    if (given.contains(name) && (name == "seq_len" || name == "kv_pairs")) {
      throw UsageError(
          "--task-option {} is what cells are made of; use --seq-len and --kv-pairs, or --train and --test", name);
    }
    options.erase(name);
  }
  return options;
}

json setting_of(const SweepSettings& settings) {
  const BackboneEntry& backbone = backbone_registry().get(settings.backbone);
  const LayerEntry* feed_forward =
      settings.feed_forward == "none" ? nullptr : &feed_forward_registry().get(settings.feed_forward);
  if (feed_forward == nullptr && !settings.feed_forward_options.empty()) {
    throw UsageError("--feed-forward-option {} is given, but there is no feed-forward; give --feed-forward",
                     settings.feed_forward_options.begin().key());
  }
  const json feed_forward_options =
      feed_forward == nullptr
          ? json::object()
          : Options(feed_forward->options, settings.feed_forward_options, "feed-forward " + settings.feed_forward)
                .json();
  json setting = {{"task", settings.task},
                  {"task_options", common_task_options(settings)},
                  {"epochs", settings.epochs},
                  {"stop_accuracy", settings.stop_accuracy ? json(*settings.stop_accuracy) : json()},
                  {"backbone", settings.backbone},
                  {"backbone_options",
                   Options(backbone.options, settings.backbone_options, "backbone " + settings.backbone).json()},
                  {"feed_forward", settings.feed_forward},
                  {"feed_forward_options", feed_forward_options},
                  {"blocks", settings.blocks},
                  {"optimizer",
                   {{"name", "adamw"},
                    {"beta1", 0.9},
                    {"beta2", 0.999},
                    {"epsilon", 1e-8},
                    {"weight_decay", settings.weight_decay}}},
                  {"schedule",
                   {{"name", settings.constant_rate ? "constant" : "cosine"},
                    {"by", "epoch"},
                    {"warmup", 0},
                    {"final", settings.final_lr}}},
                  {"clip", nullptr},
                  {"precision", recorded_precision(settings.precision)}};
  // Left out where they are as ever, so that runs of earlier versions keep their names.
  if (settings.fresh_data) setting["fresh_data"] = true;
  if (!settings.tied_head) setting["tied_head"] = false;
  if (settings.halving) {
    setting["search"] = {{"name", "halving"}, {"rungs", halving_rungs(settings.lr.size(), settings.epochs)}};
  }
  return setting;
}

// Every part says every option that any part of the sweep says, checked and typed by the task's schema.
json parts_of(const std::vector<CellPart>& parts, const SweepSettings& settings) {
  const TaskEntry& entry = task_registry().get(settings.task);
  const std::set<std::string> names = cell_options(settings.cells);
  json all = json::array();
  for (const CellPart& part : parts) {
    json given = settings.task_options;
    given.update(part.options);
    const json options = Options(entry.options, given, "task " + settings.task).json();
    json record = {{"examples", part.examples}};
    for (const std::string& name : names) record[name] = options.at(name);
    if (std::ranges::find(all, record) != all.end()) {
      throw UsageError("two parts of a cell are the same: {}", record.dump());
    }
    all.push_back(record);
  }
  return all;
}

json cell_of(const Cell& cell, const SweepSettings& settings) {
  json all = {{"batch_size", cell.batch_size},
              {"train", parts_of(cell.train, settings)},
              {"test", parts_of(cell.test, settings)}};
  if (!cell.validation.empty()) all["validation"] = parts_of(cell.validation, settings);
  return all;
}

std::int64_t training_tokens(const json& cell) {
  std::int64_t tokens = 0;
  for (const json& part : cell.at("train")) {
    tokens += part.value("seq_len", std::int64_t{1}) * part.at("examples").get<std::int64_t>();
  }
  return tokens;
}

// An option's values over parts: one, "64 to 256", or "a, b".
std::string span_of(const json& parts, const std::string& name) {
  std::vector<json> values;
  for (const json& part : parts) {
    if (part.contains(name) && std::ranges::find(values, part.at(name)) == values.end())
      values.push_back(part.at(name));
  }
  const auto text = [](const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); };
  const auto number = [](const json& value) { return value.is_number(); };
  if (values.size() > 1 && std::ranges::all_of(values, number)) {
    const auto [least, most] = std::ranges::minmax(values);
    return fmt::format("{} to {}", text(least), text(most));
  }
  std::vector<std::string> texts;
  for (const json& value : values) texts.push_back(text(value));
  return fmt::format("{}", fmt::join(texts, ", "));
}

// "T 64 kv 4": the options that parts say, lengths and pairs first.
std::string describe_parts(const json& parts) {
  const std::map<std::string, std::string> short_names = {{"seq_len", "T"}, {"kv_pairs", "kv"}};
  std::vector<std::string> names = {"seq_len", "kv_pairs"};
  for (const auto& [name, value] : parts.front().items()) {
    if (name != "examples" && !short_names.contains(name)) names.push_back(name);
  }
  std::string text;
  for (const std::string& name : names) {
    if (!parts.front().contains(name)) continue;
    const auto shorter = short_names.find(name);
    text += fmt::format("{}{} {}", text.empty() ? "" : " ", shorter == short_names.end() ? name : shorter->second,
                        span_of(parts, name));
  }
  return text;
}

// Runs that differ in their learning rate or seed alone get the same choice.
class Matcher {
 public:
  explicit Matcher(const SweepSettings& settings) : settings_(settings) {}

  void match(RunSpec& run) {
    json apart = run.axes;
    apart.erase("lr");
    apart.erase("seed");
    const auto [chosen, is_new] = known_.try_emplace({run.subject, apart});
    if (is_new) {
      const auto& choose = settings_.d_model.empty() ? with_matched_width : with_matched_state;
      chosen->second = choose(*settings_.match, run, estimate_run);
    }
    run.subject = chosen->second.subject;
    if (settings_.d_model.empty()) run.axes.erase("d_model");
  }

 private:
  const SweepSettings& settings_;
  std::map<std::pair<json, json>, RunSpec> known_;  // by subject and the axes that matter
};

// Why the examples of a cell cannot be made, or "".
std::string cell_problem(const json& cell, const json& setting) {
  std::set<std::string> problems;
  for (const char* part_of : {"train", "test", "validation"}) {
    for (const json& part : cell.value(part_of, json::array())) {
      try {
        const auto task =
            make_task(setting.at("task").get<std::string>(), task_options_of(setting.at("task_options"), part));
        check_example_count(*task, parse_split(part_of), part.at("examples").get<std::uint64_t>());
      } catch (const UsageError& error) {
        const std::string name = describe_parts(json::array({part}));
        problems.insert(fmt::format("{}{}{}", name, name.empty() ? "" : ": ", error.what()));
      }
    }
  }
  return fmt::format("{}", fmt::join(problems, "\n  "));
}

}  // namespace

std::vector<RunSpec> plan_runs(const SweepSettings& settings) {
  const json setting = setting_of(settings);
  std::vector<json> subjects;
  for (const std::string& layer : settings.layers) {
    const auto variants = subjects_of(layer, settings);
    subjects.insert(subjects.end(), variants.begin(), variants.end());
  }
  std::vector<json> cells;
  for (const Cell& cell : settings.cells) cells.push_back(cell_of(cell, settings));
  std::ranges::stable_sort(cells, {}, training_tokens);
  std::vector<std::int64_t> widths = settings.d_model;
  std::ranges::sort(widths);
  if (widths.empty()) widths = {0};  // chosen below

  std::vector<RunSpec> runs;
  Matcher matcher(settings);
  for (const std::int64_t seed : settings.seeds) {
    for (const json& cell : cells) {
      for (const std::int64_t d_model : widths) {
        for (const double lr : settings.lr) {
          const json axes = {{"d_model", d_model}, {"lr", lr}, {"seed", seed}, {"cell", cell}};
          for (const json& subject : subjects) {
            runs.push_back({subject, axes, setting});
            if (settings.match) matcher.match(runs.back());
          }
        }
      }
    }
  }
  return runs;
}

std::int64_t width_of(const RunSpec& spec) {
  return spec.axes.contains("d_model") ? spec.axes.at("d_model").get<std::int64_t>()
                                       : spec.subject.at("d_model").get<std::int64_t>();
}

std::vector<RunEstimate> estimate_runs(const std::vector<RunSpec>& runs,
                                       const std::function<RunEstimate(const RunSpec&)>& estimate) {
  std::map<std::string, std::string> cell_problems;    // cell -> reason, "" when it can be made
  std::unordered_map<std::string, RunEstimate> known;  // runs that need the same
  std::vector<std::string> problems;
  std::vector<RunEstimate> estimates;
  std::size_t impossible = 0;
  for (const RunSpec& run : runs) {
    const json& cell = run.axes.at("cell");
    const auto [problem, fresh] = cell_problems.try_emplace(cell.dump());
    if (fresh) {
      problem->second = cell_problem(cell, run.setting);
      if (!problem->second.empty()) problems.push_back(problem->second);
    }
    RunSpec alike = run;
    alike.axes.erase("lr");
    alike.axes.erase("seed");
    const std::string key = json({alike.subject, alike.axes, alike.setting}).dump();
    if (!problem->second.empty()) {
      ++impossible;
    } else if (const auto at = known.find(key); at != known.end()) {
      impossible += at->second.parameters < 0 ? 1 : 0;
      estimates.push_back(at->second);
    } else {
      try {
        estimates.push_back(estimate(run));
        known[key] = estimates.back();
      } catch (const UsageError& error) {
        ++impossible;
        known[key].parameters = -1;
        problems.push_back(fmt::format("{} d_model {} {}: {}", run.subject.at("layer").get<std::string>(),
                                       width_of(run), describe_cell(run), error.what()));
      }
    }
  }
  if (problems.empty()) return estimates;
  throw UsageError("{} of {} runs cannot be met; change or leave out these settings:\n  {}", impossible, runs.size(),
                   fmt::join(problems, "\n  "));
}

namespace {

// " (state=3)" where the option that sets how large the state is was chosen or given; --match state chooses it.
std::string state_text(const json& subject) {
  std::vector<std::string> texts;
  for (const StateOption& option : state_options_of(subject)) {
    if (option.value != option.spec.default_value) {
      texts.push_back(fmt::format("{}={}", option.spec.name, option.value.dump()));
    }
  }
  return texts.empty() ? "" : fmt::format(" ({})", fmt::join(texts, ", "));
}

}  // namespace

std::string describe_cell(const RunSpec& spec) {
  return describe_parts(spec.axes.at("cell").at("train"));
}

std::vector<std::string> describe_runs(const std::vector<RunSpec>& specs) {
  std::vector<json> subjects;
  std::unordered_map<std::string, std::size_t> place;
  for (const RunSpec& spec : specs) {
    if (place.try_emplace(spec.subject.dump(), subjects.size()).second) subjects.push_back(spec.subject);
  }
  const auto named = report::name_subjects(subjects);
  std::vector<std::string> names;
  for (const RunSpec& spec : specs) {
    const std::string cell = describe_cell(spec);
    const report::Subject& subject = named[place.at(spec.subject.dump())];
    const std::string state = subject.label == subject.layer ? state_text(spec.subject) : "";
    names.push_back(fmt::format("{}{} d_model {} lr {:.4g} seed {}{}{}", subject.label, state, width_of(spec),
                                spec.axes.at("lr").get<double>(), spec.axes.at("seed").get<std::int64_t>(),
                                cell.empty() ? "" : " ", cell));
  }
  return names;
}

std::string describe_run(const RunSpec& spec) {
  return describe_runs({spec}).front();
}

}  // namespace zoo
