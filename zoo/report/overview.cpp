#include "zoo/report/overview.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>

#include "zoo/report/format.h"
#include "zoo/report/names.h"
#include "zoo/report/plots.h"

namespace zoo::report {

namespace {

using nlohmann::json;

// The index of an item in a list, to which it is added when it is not there yet.
template <typename Item>
std::size_t index_in(std::vector<Item>& items, const Item& item) {
  const auto at = std::ranges::find(items, item);
  if (at != items.end()) return static_cast<std::size_t>(at - items.begin());
  items.push_back(item);
  return items.size() - 1;
}

std::size_t task_of(std::vector<OverviewTask>& tasks, const Table& table) {
  const json task = field(table.setting, "task");
  const json options = field(table.setting, "task_options");
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i].task == task && tasks[i].options == options) return i;
  }
  tasks.push_back({.label = task.is_null() ? "?" : format_value(task),
                   .task = task,
                   .options = options,
                   .cells = {},
                   .regression = table.regression});
  return tasks.size() - 1;
}

void tell_apart(std::vector<OverviewTask>& tasks) {
  std::vector<std::string> labels;
  for (const OverviewTask& one : tasks) {
    std::vector<json> rivals = {one.options};
    for (const OverviewTask& other : tasks) {
      if (&other != &one && other.task == one.task) rivals.push_back(other.options);
    }
    labels.push_back(one.label);
    for (const Difference& difference : differences(rivals)) {
      labels.back() += fmt::format(", {} {}", difference.name, difference.values.front());
    }
  }
  for (std::size_t i = 0; i < tasks.size(); ++i) tasks[i].label = labels[i];
}

// What is better stands first.
using Rank = std::tuple<bool, double, double>;

Rank rank_of(const Row& row, std::size_t column) {
  const auto chosen = std::ranges::find_if(row.rates[column], &RateScore::chosen);
  if (chosen == row.rates[column].end()) return {true, 0, 0};
  return {!row.results[column].complete(), -chosen->accuracy.mean, chosen->loss};
}

}  // namespace

Overview make_overview(const Summary& summary) {
  Overview overview;
  // By layer and task, then by cell: the best place so far, if any.
  std::map<std::pair<std::size_t, std::size_t>, std::map<std::size_t, Place>> best;
  for (std::size_t t = 0; t < summary.tables.size(); ++t) {
    const Table& table = summary.tables[t];
    const std::size_t task = task_of(overview.tasks, table);
    const std::vector<std::size_t> columns = cell_columns(table);
    for (const std::size_t column : columns) index_in(overview.tasks[task].cells, table.columns[column].cell);
    for (std::size_t r = 0; r < table.rows.size(); ++r) {
      const Row& row = table.rows[r];
      const std::size_t layer = index_in(overview.layers, table.subjects[row.subject].layer);
      auto& places = best[{layer, task}];
      for (const std::size_t column : columns) {
        if (!row.results[column].has_figures()) continue;
        const std::size_t cell = index_in(overview.tasks[task].cells, table.columns[column].cell);
        const auto [at, first] = places.try_emplace(cell, Place{t, r, column});
        const Place& known = at->second;
        if (!first && rank_of(row, column) < rank_of(summary.tables[known.table].rows[known.row], known.column)) {
          at->second = {t, r, column};
        }
      }
    }
  }
  tell_apart(overview.tasks);

  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  overview.cells.assign(overview.layers.size(),
                        std::vector<OverviewCell>(overview.tasks.size(), OverviewCell{.accuracy = nan, .places = {}}));
  for (const auto& [key, places] : best) {
    OverviewCell& cell = overview.cells[key.first][key.second];
    cell.tried = true;
    cell.complete = places.size() == overview.tasks[key.second].cells.size();
    double sum = 0;
    for (const auto& [index, place] : places) {
      const Result& result = summary.tables[place.table].rows[place.row].results[place.column];
      sum += result.accuracy.mean;
      cell.diverged += result.diverged;
      cell.complete = cell.complete && result.complete();
      cell.places.push_back(place);
    }
    if (!places.empty()) cell.accuracy = sum / static_cast<double>(places.size());
  }
  return overview;
}

std::string overview_widths(const Summary& summary, const OverviewCell& cell) {
  std::map<double, std::string> widths;
  for (const Place& place : cell.places) {
    const Row& row = summary.tables[place.table].rows[place.row];
    widths.emplace(row.d_model, row.width);
  }
  std::string text;
  for (const auto& [size, width] : widths) text += (text.empty() ? "" : ", ") + width;
  return text;
}

}  // namespace zoo::report
