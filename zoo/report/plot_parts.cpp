#include "zoo/report/plot_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace zoo::report {

namespace {

constexpr std::size_t most_ticks = 5;

std::vector<double> positions(const Panel& panel) {
  std::set<double> values;
  for (const Series& series : panel.series) {
    for (const Point& point : series.points) values.insert(point.x);
  }
  return {values.begin(), values.end()};
}

}  // namespace

Point accuracy_point(double x, const Estimate& accuracy) {
  const double half = accuracy.has_interval() ? accuracy.half_width : 0;
  return {x, accuracy.mean, accuracy.mean - half, accuracy.mean + half};
}

Series& series_of(Panel& panel, const Subject& subject, const Styles& styles) {
  const auto at = std::ranges::find(panel.series, subject.label, &Series::label);
  if (at != panel.series.end()) return *at;
  return panel.series.emplace_back(Series{subject.label, styles.at(subject.label), {}});
}

void sort_points(Panel& panel) {
  for (Series& series : panel.series) std::ranges::stable_sort(series.points, {}, &Point::x);
}

void tick_at_points(Panel& panel) {
  const std::vector<double> values = positions(panel);
  const std::size_t step = values.size() / (2 * most_ticks) + 1;
  for (std::size_t i = 0; i < values.size(); i += step) {
    panel.x_ticks.push_back({values[i], fmt::format("{}", values[i])});
  }
}

void tick_at_round(Panel& panel, bool powers_of_two, const std::function<std::string(double)>& format) {
  const std::vector<double> values = positions(panel);
  if (values.empty()) return;
  const double base = powers_of_two ? 2 : 10;
  const int first = static_cast<int>(std::floor(std::log(values.front()) / std::log(base)));
  const int last = static_cast<int>(std::ceil(std::log(values.back()) / std::log(base)));
  std::vector<double> round;
  for (int power = first; power <= last; ++power) {
    for (const double multiple : {1.0, 2.0, 5.0}) {
      if (multiple > 1 && (powers_of_two || last - first > 2)) continue;
      const double value = multiple * std::pow(base, power);
      if (value >= values.front() && value <= values.back()) round.push_back(value);
    }
  }
  if (round.size() < 2) {
    round = {values.front()};
    if (values.back() > 1.05 * values.front()) round.push_back(values.back());
  }
  const std::size_t step = (round.size() - 1) / most_ticks + 1;
  for (std::size_t i = 0; i < round.size(); i += step) panel.x_ticks.push_back({round[i], format(round[i])});
}

bool spans_octaves(const Panel& panel) {
  const std::vector<double> values = positions(panel);
  return !values.empty() && values.front() > 0 && values.back() >= 8 * values.front();
}

std::vector<std::string> widths_of(const Table& table) {
  std::vector<std::pair<double, std::string>> widths;
  for (const Row& row : table.rows) {
    if (const std::pair width(row.d_model, row.width); std::ranges::find(widths, width) == widths.end()) {
      widths.push_back(width);
    }
  }
  std::ranges::stable_sort(widths, {}, &std::pair<double, std::string>::first);
  std::vector<std::string> names;
  for (const auto& [size, name] : widths) names.push_back(name);
  return names;
}

}  // namespace zoo::report
