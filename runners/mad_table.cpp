#include "runners/mad_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "zoo/report/format.h"
#include "zoo/report/names.h"
#include "zoo/report/text_table.h"
#include "zoo/sweep/plan.h"

namespace zoo {

namespace {

using nlohmann::json;

struct Figures {
  double class_accuracy = 0;
  double accuracy = 0;
  double loss = 0;
};

// Sums over seeds.
struct Seeds {
  Figures validation;
  Figures test;
  int count = 0;
  bool diverged = false;

  void add(const Run& run) {
    if (run.status == RunStatus::diverged) {
      diverged = true;
      validation.loss = std::numeric_limits<double>::infinity();
    }
    for (const SliceResult& slice : run.slices) {
      Figures& sum = slice.split == "test" ? test : validation;
      sum.class_accuracy += slice.metrics.value("class_accuracy", slice.accuracy);
      sum.accuracy += slice.accuracy;
      sum.loss += slice.loss;
    }
    ++count;
  }
  // What is better stands first: more seeds, then the best on validation.
  auto rank() const { return std::tuple(-count, -validation.class_accuracy / count, validation.loss / count); }
};

// Of one layer and width on one task.
struct Cells {
  std::map<json, std::map<json, Seeds>> variants;  // by cell, by learning rate and weight decay
  bool complete = true;
  bool diverged = false;  // a run that the mean is of

  std::optional<Figures> mean() {
    Figures sum;
    diverged = false;
    for (const auto& [cell, choices] : variants) {
      const auto best = std::ranges::min_element(choices, {}, [](const auto& choice) { return choice.second.rank(); });
      sum.class_accuracy += best->second.test.class_accuracy / best->second.count;
      sum.accuracy += best->second.test.accuracy / best->second.count;
      diverged = diverged || best->second.diverged;
    }
    if (variants.empty()) return std::nullopt;
    const auto count = static_cast<double>(variants.size());
    return Figures{sum.class_accuracy / count, sum.accuracy / count, 0};
  }
};

std::string percent(double accuracy) {
  return fmt::format("{:.1f}", 100 * accuracy);
}

std::string text_of(const Figures& figures, bool complete, bool diverged) {
  return fmt::format("{} ({}){}{}", percent(figures.class_accuracy), percent(figures.accuracy), complete ? "" : "*",
                     diverged ? "†" : "");
}

}  // namespace

std::string mad_table(std::span<const Run> runs) {
  std::vector<std::string> tasks;
  std::vector<json> subjects;
  std::vector<std::pair<json, std::int64_t>> rows;
  std::map<std::tuple<json, std::int64_t, std::string>, Cells> cells;
  bool all_complete = true;
  bool any_diverged = false;
  for (const Run& run : runs) {
    const std::string task = run.spec.setting.at("task");
    const std::pair row(run.spec.subject, width_of(run.spec));
    if (std::ranges::find(tasks, task) == tasks.end()) tasks.push_back(task);
    if (std::ranges::find(subjects, run.spec.subject) == subjects.end()) subjects.push_back(run.spec.subject);
    if (std::ranges::find(rows, row) == rows.end()) rows.push_back(row);
    Cells& of = cells[{row.first, row.second, task}];
    // A run that diverged is a result without figures: it counts as 0.
    if (run.status == RunStatus::done || run.status == RunStatus::diverged) {
      const json choice = {run.spec.axes.at("lr"), run.spec.setting.at("optimizer").at("weight_decay")};
      of.variants[run.spec.axes.at("cell")][choice].add(run);
    } else {
      of.complete = all_complete = false;
    }
  }
  const auto named = report::name_subjects(subjects);

  std::vector<std::vector<std::string>> table = {{"layer", "d_model"}};
  table[0].insert(table[0].end(), tasks.begin(), tasks.end());
  table[0].emplace_back("average");
  for (const auto& [subject, width] : rows) {
    const auto place = static_cast<std::size_t>(std::ranges::find(subjects, subject) - subjects.begin());
    table.push_back({named[place].label, std::to_string(width)});
    Figures sum;
    bool whole = true;
    bool diverged = false;
    for (const std::string& task : tasks) {
      Cells& of = cells[{subject, width, task}];
      const auto mean = of.mean();
      table.back().push_back(mean ? text_of(*mean, of.complete, of.diverged) : "–");
      diverged = diverged || of.diverged;
      whole = whole && mean && of.complete;
      sum.class_accuracy += mean ? mean->class_accuracy : 0;
      sum.accuracy += mean ? mean->accuracy : 0;
    }
    const auto count = static_cast<double>(tasks.size());
    table.back().push_back(whole ? text_of({sum.class_accuracy / count, sum.accuracy / count, 0}, true, diverged)
                                 : "–");
    any_diverged = any_diverged || diverged;
  }
  return report::text_table(table, 2) +
         "\nMean over variants of the class accuracy in percent, in brackets the plain accuracy; learning rate and "
         "weight decay\nchosen on the validation split.\n" +
         (all_complete ? "" : "* not all runs of this task are finished.\n") +
         (any_diverged ? "† a run diverged; it counts as it was evaluated, else as 0.\n" : "");
}

}  // namespace zoo
