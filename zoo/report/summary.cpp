#include "zoo/report/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "zoo/report/format.h"
#include "zoo/report/measures.h"
#include "zoo/report/slices.h"

namespace zoo::report {

namespace {

using nlohmann::json;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

bool has_result(const Run& run) {
  return run.status == RunStatus::done || run.status == RunStatus::diverged;
}

double validation_loss(const Run& run) {
  double loss = mean_over_slices(run, "validation", [](const SliceResult& slice) { return slice.loss; });
  if (std::isnan(loss) && !run.epochs.empty()) loss = run.epochs.back().validation_loss;
  return std::isnan(loss) ? infinity : loss;
}

// The accuracy that learning rates are judged by. A run recorded without slices of validation has its last epoch.
double validation_accuracy(const Run& run) {
  if (std::ranges::any_of(run.slices, [](const SliceResult& slice) { return slice.split == "validation"; })) {
    return split_accuracy(run, "validation");
  }
  if (run.status == RunStatus::diverged || run.epochs.empty()) return 0;
  const double accuracy = run.epochs.back().validation_accuracy;
  return std::isnan(accuracy) ? 0 : accuracy;
}

// The runs of one row and one cell, by index.
using Group = std::vector<std::size_t>;

json row_axes(const Run& run) {
  json axes = run.spec.axes.is_object() ? run.spec.axes : json::object();
  for (const char* key : {"lr", "seed", "cell"}) axes.erase(key);
  return axes;
}

// Judges each learning rate of a group and marks the choice.
std::vector<RateScore> score_rates(std::span<const Run> runs, const Group& group) {
  std::map<double, std::vector<std::size_t>> by_rate;
  for (const std::size_t index : group) {
    if (has_result(runs[index])) by_rate[number_or_nan(field(runs[index].spec.axes, "lr"))].push_back(index);
  }
  std::vector<RateScore> scores;
  for (const auto& [rate, members] : by_rate) {
    std::vector<double> accuracies;
    RateScore score{.learning_rate = rate, .accuracy = {}};
    for (const std::size_t index : members) {
      accuracies.push_back(validation_accuracy(runs[index]));
      score.loss += validation_loss(runs[index]) / static_cast<double>(members.size());
      score.diverged += runs[index].status == RunStatus::diverged;
    }
    score.accuracy = estimate(accuracies);
    scores.push_back(score);
  }
  const auto better = [](const RateScore& a, const RateScore& b) {
    if (a.accuracy.count != b.accuracy.count) return a.accuracy.count > b.accuracy.count;
    if (a.accuracy.mean != b.accuracy.mean) return a.accuracy.mean > b.accuracy.mean;
    if (a.loss != b.loss) return a.loss < b.loss;
    return a.learning_rate < b.learning_rate;
  };
  if (const auto best = std::ranges::min_element(scores, better); best != scores.end()) best->chosen = true;
  return scores;
}

double test_accuracy(const Run& run, const json& slice) {
  if (slice.is_null()) return split_accuracy(run, "test");
  for (const SliceResult& result : run.slices) {
    if (result.split == "test" && result.slice == slice) return scored_accuracy(result);
  }
  return run.status == RunStatus::diverged ? 0 : nan;
}

Result result_of(std::span<const Run> runs, const Group& group, const std::vector<RateScore>& scores,
                 const json& slice) {
  Result result;
  const auto chosen = std::ranges::find_if(scores, &RateScore::chosen);
  std::set<double> expected_seeds;
  std::set<double> seeds;
  std::vector<double> accuracies;
  for (const std::size_t index : group) {
    const Run& run = runs[index];
    const double seed = number_or_nan(field(run.spec.axes, "seed"));
    expected_seeds.insert(seed);
    const double rate = number_or_nan(field(run.spec.axes, "lr"));
    const bool of_choice = chosen != scores.end() && (rate == chosen->learning_rate || std::isnan(rate));
    if (!has_result(run)) result.unfinished = result.unfinished || !of_choice;
    if (!has_result(run) || !of_choice) continue;
    const double accuracy = test_accuracy(run, slice);
    if (std::isnan(accuracy)) continue;
    seeds.insert(seed);
    accuracies.push_back(accuracy);
    result.runs.push_back(index);
    result.diverged += run.status == RunStatus::diverged;
    if (const json parameters = field(run.summary, "parameters"); parameters.is_number()) {
      result.parameters = std::max(result.parameters.value_or(0), parameters.get<std::int64_t>());
    }
    for (const SliceResult& measured : run.slices) {
      const bool wanted = measured.split == "test" && (slice.is_null() || measured.slice == slice);
      if (wanted) result.state_bytes = std::max(result.state_bytes.value_or(0), measured.state_bytes);
    }
  }
  result.accuracy = estimate(accuracies);
  result.learning_rate = chosen == scores.end() ? nan : chosen->learning_rate;
  result.missing = static_cast<int>(expected_seeds.size() - seeds.size());
  return result;
}

// The slices of a cell: those measured on the test split, or else those its test parts announce.
std::vector<json> slices_of(std::span<const Run> runs, const std::vector<std::size_t>& members) {
  std::vector<json> slices;
  const auto add = [&](const json& slice) {
    if (std::ranges::find(slices, slice) == slices.end()) slices.push_back(slice);
  };
  for (const std::size_t index : members) {
    for (const SliceResult& slice : runs[index].slices) {
      if (slice.split == "test") add(slice.slice);
    }
  }
  if (!slices.empty() || members.empty()) return slices;
  for (json part : field(field(runs[members.front()].spec.axes, "cell"), "test")) {
    if (!part.is_object()) continue;
    part.erase("examples");
    add(part);
  }
  if (slices.empty()) slices.push_back(nullptr);
  return slices;
}

// Longer sequences and more pairs to the right; numbers by size, not by their digits.
bool earlier_slice(const json& a, const json& b) {
  for (const char* key : {"seq_len", "kv_pairs"}) {
    const double x = number_or_nan(field(a, key));
    const double y = number_or_nan(field(b, key));
    if (!std::isnan(x) && !std::isnan(y) && x != y) return x < y;
  }
  return a < b;
}

std::vector<Column> columns_of(std::span<const Run> runs, const std::vector<std::size_t>& members) {
  std::vector<json> cells;
  std::vector<Column> columns;
  for (const std::size_t index : members) {
    const json cell = field(runs[index].spec.axes, "cell");
    if (std::ranges::find(cells, cell) == cells.end()) cells.push_back(cell);
  }
  for (const json& cell : cells) {
    std::vector<std::size_t> of_cell;
    std::ranges::copy_if(members, std::back_inserter(of_cell),
                         [&](std::size_t index) { return field(runs[index].spec.axes, "cell") == cell; });
    const std::vector<json> slices = slices_of(runs, of_cell);
    if (slices.size() > 1) columns.push_back({cell, nullptr, fmt::format("all {} slices", slices.size())});
    for (const json& slice : slices) columns.push_back({cell, slice, ""});
  }
  std::vector<json> all;
  for (const Column& column : columns) {
    if (!column.slice.is_null()) all.push_back(column.slice);
  }
  const std::vector<std::string> labels = slice_labels(all);
  for (std::size_t i = 0, next = 0; i < columns.size(); ++i) {
    if (!columns[i].slice.is_null()) columns[i].label = labels[next++];
  }
  std::ranges::stable_sort(columns, [](const Column& a, const Column& b) {
    if (a.slice.is_null() != b.slice.is_null()) return a.slice.is_null();
    return earlier_slice(a.slice, b.slice);
  });
  // Two cells may be tested on the same slice: say what they were trained on.
  const std::vector<Column> plain = columns;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    std::vector<json> rivals = {plain[i].cell};
    for (std::size_t k = 0; k < plain.size(); ++k) {
      if (k != i && plain[k].label == plain[i].label) rivals.push_back(plain[k].cell);
    }
    std::string suffix;
    for (const Difference& difference : differences(rivals)) {
      suffix += fmt::format("{}{} {}", suffix.empty() ? "; " : ", ", difference.name, difference.values.front());
    }
    columns[i].label += suffix;
  }
  return columns;
}

std::vector<Row> rows_of(std::span<const Run> runs, const Table& table) {
  std::vector<Row> rows;
  for (std::size_t subject = 0; subject < table.subjects.size(); ++subject) {
    const std::size_t first = rows.size();
    for (const std::size_t index : table.runs) {
      if (runs[index].spec.subject != table.subjects[subject].json) continue;
      Row row{.subject = subject, .axes = row_axes(runs[index]), .width = {}, .results = {}, .rates = {}};
      const bool known = std::any_of(rows.begin() + static_cast<std::ptrdiff_t>(first), rows.end(),
                                     [&](const Row& other) { return other.axes == row.axes; });
      if (known) continue;
      json width = field(row.axes, "d_model");
      if (width.is_null()) width = field(runs[index].spec.subject, "d_model");
      row.d_model = width.is_number() ? width.get<double>() : 0;
      row.width = width.is_null() ? "–" : format_value(width);
      for (const auto& [name, value] : flatten(row.axes)) {
        if (name != "d_model" && !name.empty()) row.width += ", " + one_line(name) + "=" + format_value(value);
      }
      rows.push_back(std::move(row));
    }
    std::stable_sort(rows.begin() + static_cast<std::ptrdiff_t>(first), rows.end(),
                     [](const Row& a, const Row& b) { return a.d_model < b.d_model; });
  }
  std::map<std::array<json, 3>, Group> groups;
  for (const std::size_t index : table.runs) {
    const RunSpec& spec = runs[index].spec;
    groups[{spec.subject, row_axes(runs[index]), field(spec.axes, "cell")}].push_back(index);
  }
  for (Row& row : rows) {
    for (const Column& column : table.columns) {
      const Group& group = groups[{table.subjects[row.subject].json, row.axes, column.cell}];
      row.rates.push_back(score_rates(runs, group));
      row.results.push_back(result_of(runs, group, row.rates.back(), column.slice));
    }
  }
  return rows;
}

}  // namespace

Summary summarise(std::span<const Run> runs) {
  Summary summary;
  for (std::size_t index = 0; index < runs.size(); ++index) {
    const json& setting = runs[index].spec.setting;
    auto at = std::ranges::find(summary.tables, setting, &Table::setting);
    if (at == summary.tables.end()) {
      summary.tables.push_back({.setting = setting, .subjects = {}, .columns = {}, .rows = {}, .runs = {}});
      at = summary.tables.end() - 1;
    }
    at->runs.push_back(index);
  }
  std::vector<json> settings;
  for (Table& table : summary.tables) {
    settings.push_back(table.setting);
    std::vector<json> subjects;
    for (const std::size_t index : table.runs) {
      const json& subject = runs[index].spec.subject;
      if (std::ranges::find(subjects, subject) == subjects.end()) subjects.push_back(subject);
    }
    table.subjects = name_subjects(subjects);
    table.columns = columns_of(runs, table.runs);
    table.rows = rows_of(runs, table);
    table.regression = is_regression(runs, table);
    for (const Row& row : table.rows) {
      for (const Result& result : row.results) table.seeds = std::max(table.seeds, result.accuracy.count);
    }
  }
  if (settings.size() > 1) summary.differences = differences(settings);
  return summary;
}

std::string estimates_sentence(std::span<const Table> tables) {
  std::set<int> seeds;
  for (const Table& table : tables) {
    for (const Row& row : table.rows) {
      for (const Result& result : row.results) {
        if (result.has_figures()) seeds.insert(result.accuracy.count);
      }
    }
  }
  if (seeds.empty() || *seeds.rbegin() < 2) return "";
  return fmt::format("mean and 95% interval over {}{} seeds", seeds.size() > 1 ? "up to " : "", *seeds.rbegin());
}

}  // namespace zoo::report
