#include "zoo/report/measures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "zoo/core/error.h"
#include "zoo/core/task.h"
#include "zoo/nn/head.h"
#include "zoo/report/format.h"
#include "zoo/report/names.h"
#include "zoo/report/slices.h"

namespace zoo::report {

namespace {

using nlohmann::json;

bool belongs(const SliceResult& slice, const Column& column) {
  return slice.split == "test" && (column.slice.is_null() || slice.slice == column.slice);
}

// Over the runs of a result, those that have a finite value.
template <typename Figure>
Estimate over_runs(std::span<const Run> runs, const Column& column, const Result& result, Figure&& figure) {
  std::vector<double> values;
  for (const std::size_t index : result.runs) {
    double value = std::numeric_limits<double>::quiet_NaN();
    if (column.slice.is_null()) {
      value = mean_over_slices(runs[index], "test", figure);
    } else {
      for (const SliceResult& slice : runs[index].slices) {
        if (belongs(slice, column)) value = figure(slice);
      }
    }
    if (std::isfinite(value)) values.push_back(value);
  }
  return estimate(values);
}

struct Pooled {
  double correct = 0;
  double labelled = 0;
};

// The name and value of a group: its one member that is no figure.
std::pair<std::string, double> identity(const json& group) {
  if (group.is_object()) {
    for (const auto& [key, value] : group.items()) {
      if (key != "accuracy" && key != "loss" && key != "labelled") return {key, number_or_nan(value)};
    }
  }
  return {"", std::numeric_limits<double>::quiet_NaN()};
}

}  // namespace

Measures measure(std::span<const Run> runs, const Column& column, const Result& result) {
  Measures measures;
  const auto metric = [](const char* name) {
    return [name](const SliceResult& slice) { return number_or_nan(field(slice.metrics, name)); };
  };
  measures.loss = over_runs(runs, column, result, [](const SliceResult& slice) { return slice.loss; });
  measures.class_accuracy = over_runs(runs, column, result, metric("class_accuracy"));
  measures.sequence_accuracy = over_runs(runs, column, result, metric("sequence_accuracy"));

  std::string group_name;
  std::map<double, std::vector<double>> accuracies;  // by the group's value, one a run
  for (const std::size_t index : result.runs) {
    std::map<double, Pooled> pooled;
    for (const SliceResult& slice : runs[index].slices) {
      if (!belongs(slice, column)) continue;
      for (const json& group : field(slice.metrics, "groups")) {
        const auto [name, value] = identity(group);
        const double accuracy = number_or_nan(field(group, "accuracy"));
        const double labelled = number_or_nan(field(group, "labelled"));
        if (group_name.empty()) group_name = name;
        if (name != group_name || !std::isfinite(value) || !std::isfinite(accuracy) || !(labelled > 0)) continue;
        pooled[value].correct += accuracy * labelled;
        pooled[value].labelled += labelled;
      }
    }
    for (const auto& [value, sums] : pooled) accuracies[value].push_back(sums.correct / sums.labelled);
  }
  for (const auto& [value, of_runs] : accuracies) measures.groups.push_back({value, estimate(of_runs)});
  if (!measures.groups.empty()) measures.group_name = one_line(group_name);
  return measures;
}

std::string tolerance_sentence() {
  return fmt::format("Accuracy is the share of answers within {} of the target.", regression_tolerance);
}

bool is_regression(std::span<const Run> runs, const Table& table) {
  // Classes were counted, or the task can tell.
  for (const std::size_t index : table.runs) {
    for (const SliceResult& slice : runs[index].slices) {
      if (!field(slice.metrics, "class_accuracy").is_null()) return false;
    }
  }
  const json name = field(table.setting, "task");
  if (!name.is_string() || task_registry().find(name.get<std::string>()) == nullptr || table.columns.empty()) {
    return false;
  }
  json options = field(table.setting, "task_options");
  if (options.is_null()) options = json::object();
  for (const json& part : field(table.columns.front().cell, "test")) {
    if (part.is_object()) options.update(part);
    break;
  }
  if (!options.is_object()) return false;
  options.erase("examples");
  try {
    return make_task(name.get<std::string>(), options)->head().kind == HeadKind::regression;
  } catch (const std::exception&) {
    return false;  // recorded by another version, or its data is not on this machine
  }
}

}  // namespace zoo::report
