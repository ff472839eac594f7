#include "zoo/report/slices.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "zoo/report/names.h"

namespace zoo::report {

namespace {

using nlohmann::json;

// How many examples the run's cell has of a slice; 1 when it does not say.
double weight_of(const Run& run, std::string_view split, const json& slice) {
  const json cell = field(run.spec.axes, "cell");
  const bool own = split == "validation" && !field(cell, "validation").is_null();
  for (const json& part : field(cell, own ? "validation" : "test")) {
    if (!part.is_object() || !slice.is_object()) continue;
    const bool same = std::ranges::all_of(part.items(), [&](const auto& item) {
      return item.key() == "examples" || (slice.contains(item.key()) && slice[item.key()] == item.value());
    });
    const double examples = number_or_nan(field(part, "examples"));
    if (same && examples > 0) return examples;
  }
  return 1;
}

// The options in which slices differ; nothing when one of them is not a number everywhere.
std::vector<std::string> differing_numbers(const std::vector<json>& slices) {
  std::set<std::string> keys;
  for (const json& slice : slices) {
    if (!slice.is_object()) return {};
    for (const auto& [key, value] : slice.items()) keys.insert(key);
  }
  std::vector<std::string> differing;
  for (const std::string& key : keys) {
    const auto at = [&](const json& slice) { return field(slice, key.c_str()); };
    if (std::ranges::all_of(slices, [&](const json& slice) { return at(slice) == at(slices.front()); })) continue;
    if (std::ranges::any_of(slices, [&](const json& slice) { return !std::isfinite(number_or_nan(at(slice))); })) {
      return {};
    }
    differing.push_back(key);
  }
  return differing;
}

}  // namespace

double mean_over_slices(const Run& run, std::string_view split,
                        const std::function<double(const SliceResult&)>& figure) {
  double sum = 0;
  double weights = 0;
  for (const SliceResult& slice : run.slices) {
    if (slice.split != split) continue;
    const double weight = weight_of(run, split, slice.slice);
    sum += weight * figure(slice);
    weights += weight;
  }
  return weights > 0 ? sum / weights : std::numeric_limits<double>::quiet_NaN();
}

double scored_accuracy(const SliceResult& slice) {
  return std::isnan(slice.accuracy) ? 0 : slice.accuracy;
}

double split_accuracy(const Run& run, std::string_view split) {
  const double accuracy = mean_over_slices(run, split, scored_accuracy);
  return std::isnan(accuracy) && run.status == RunStatus::diverged ? 0 : accuracy;
}

std::vector<SliceFamily> slice_families(const Table& table) {
  std::vector<SliceFamily> families;
  std::vector<json> cells;
  for (const Column& first : table.columns) {
    if (std::ranges::find(cells, first.cell) != cells.end()) continue;
    cells.push_back(first.cell);
    SliceFamily family;
    std::vector<json> slices;
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      const Column& column = table.columns[i];
      if (column.cell != first.cell || column.slice.is_null()) continue;
      family.columns.push_back(i);
      slices.push_back(column.slice);
    }
    if (slices.size() < 2) continue;
    family.options = differing_numbers(slices);
    if (!family.options.empty()) families.push_back(std::move(family));
  }
  return families;
}

std::vector<double> option_values(const Table& table, const SliceFamily& family, const std::string& option) {
  std::set<double> values;
  for (const std::size_t column : family.columns) {
    values.insert(number_or_nan(field(table.columns[column].slice, option.c_str())));
  }
  return {values.begin(), values.end()};
}

std::string line_option(const Table& table, const SliceFamily& family) {
  if (family.options.size() == 1) return family.options.front();
  const bool lengths = std::ranges::find(family.options, "seq_len") != family.options.end();
  return lengths && option_values(table, family, "seq_len").size() == family.columns.size() ? "seq_len" : "";
}

bool is_grid(const Table& table, const SliceFamily& family) {
  if (family.options.size() != 2 || !line_option(table, family).empty()) return false;
  const std::size_t places =
      option_values(table, family, family.options[0]).size() * option_values(table, family, family.options[1]).size();
  return 2 * family.columns.size() > places;
}

std::vector<double> trained_values(const Table& table, const json& cell, const std::string& option) {
  std::set<double> values;
  const auto add = [&](const json& value) {
    if (const double number = number_or_nan(value); std::isfinite(number)) values.insert(number);
  };
  for (const json& part : field(cell, "train")) add(field(part, option.c_str()));
  if (values.empty()) add(field(field(table.setting, "task_options"), option.c_str()));
  return {values.begin(), values.end()};
}

}  // namespace zoo::report
