#include "zoo/report/cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "zoo/report/format.h"
#include "zoo/report/plot_parts.h"

namespace zoo::report {

namespace {

// Of one row on one column, the mean over its runs; NaN when it was not recorded.
double cost_of(std::span<const Run> runs, const Result& result, Cost cost) {
  if (cost == Cost::state) {
    return result.state_bytes ? static_cast<double>(*result.state_bytes) : std::numeric_limits<double>::quiet_NaN();
  }
  double sum = 0;
  for (const std::size_t index : result.runs) {
    sum += number_or_nan(field(runs[index].summary, cost == Cost::seconds ? "train_seconds" : "flops"));
  }
  return sum / static_cast<double>(result.runs.size());
}

std::string format_cost(Cost cost, double value) {
  switch (cost) {
    case Cost::seconds:
      return value < 1000 ? fmt::format("{:.3g} s", value) : fmt::format("{:.0f} s", value);
    case Cost::flops:
      return format_count(value);
    case Cost::state:
      return format_bytes(value);
  }
  return "";
}

std::string name_of(Cost cost) {
  switch (cost) {
    case Cost::seconds:
      return "training time";
    case Cost::flops:
      return "training FLOPs";
    case Cost::state:
      return "state";
  }
  return "";
}

// "gla 64 (8 KiB, 0.91), attention 64 (64 KiB, 0.99)"
std::string front_text(const Table& table, std::span<const CostPoint> front, Cost cost) {
  std::vector<std::string> items;
  const bool widths = widths_of(table).size() > 1;
  for (const CostPoint& point : front) {
    const Row& row = table.rows[point.row];
    items.push_back(fmt::format("{}{} ({}, {})", table.subjects[row.subject].label, widths ? " " + row.width : "",
                                format_cost(cost, point.cost), format_accuracy(point.accuracy.mean)));
  }
  return fmt::format("On the front by {}: {}.", name_of(cost), joined(items));
}

}  // namespace

std::vector<CostPoint> cost_points(const Table& table, std::span<const Run> runs, Cost cost) {
  std::vector<CostPoint> points;
  const std::vector<std::size_t> columns = cell_columns(table);
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    CostPoint point{.row = i, .cost = 0, .accuracy = {}};
    std::vector<double> accuracies;
    for (const std::size_t column : columns) {
      const Result& result = table.rows[i].results[column];
      if (!result.has_figures()) break;
      accuracies.push_back(result.accuracy.mean);
      point.cost += cost_of(runs, result, cost) / static_cast<double>(columns.size());
    }
    if (columns.empty() || accuracies.size() < columns.size()) continue;
    point.accuracy = columns.size() == 1 ? table.rows[i].results[columns.front()].accuracy : estimate(accuracies);
    // The spread between cells is no interval over seeds.
    if (columns.size() > 1) point.accuracy.half_width = std::numeric_limits<double>::quiet_NaN();
    if (point.cost > 0 && std::isfinite(point.cost) && std::isfinite(point.accuracy.mean)) points.push_back(point);
  }
  return points;
}

std::vector<CostPoint> pareto_front(std::span<const CostPoint> points) {
  std::vector<CostPoint> front;
  for (const CostPoint& point : points) {
    const bool beaten = std::ranges::any_of(points, [&](const CostPoint& other) {
      return other.cost <= point.cost && other.accuracy.mean >= point.accuracy.mean &&
             (other.cost < point.cost || other.accuracy.mean > point.accuracy.mean);
    });
    if (!beaten) front.push_back(point);
  }
  std::ranges::stable_sort(front, {}, &CostPoint::cost);
  return front;
}

Figure cost_figure(const Table& table, std::span<const Run> runs, const Styles& styles) {
  Figure figure{.title = "Accuracy against cost",
                .caption =
                    "Test accuracy by what training takes and by what the model carries; a point is a layer "
                    "at a width. The dashed line is the Pareto front: no other point is cheaper and at least as "
                    "good. Time is that of the machine the runs were made on.",
                .panels = {}};
  if (const std::size_t cells = cell_columns(table).size(); cells > 1) {
    figure.caption += fmt::format(" Means over the {} cells.", cells);
  }
  for (const Cost cost : {Cost::seconds, Cost::flops, Cost::state}) {
    const std::vector<CostPoint> points = cost_points(table, runs, cost);
    if (points.size() < 2) continue;
    const std::vector<CostPoint> front = pareto_front(points);
    Panel panel{.title = "",
                .x_label = name_of(cost),
                .y_label = "test accuracy",
                .x_ticks = {},
                .log2_x = true,
                .y_maximum = accuracy_top,
                .end_labels = false,
                .series = {}};
    for (const CostPoint& point : points) {
      Series& series = series_of(panel, table.subjects[table.rows[point.row].subject], styles);
      series.joined = Joined::points;
      series.points.push_back(accuracy_point(point.cost, point.accuracy));
    }
    Series staircase{.label = "Pareto front", .style = 0, .points = {}, .joined = Joined::front};
    for (const CostPoint& point : front) staircase.points.push_back(accuracy_point(point.cost, point.accuracy));
    // What is reached stays reached at any greater cost.
    const double dearest = std::ranges::max(points, {}, &CostPoint::cost).cost;
    if (dearest > front.back().cost) staircase.points.push_back(accuracy_point(dearest, front.back().accuracy));
    panel.series.insert(panel.series.begin(), std::move(staircase));  // under the points
    sort_points(panel);
    tick_at_round(panel, cost == Cost::state, [&](double value) { return format_cost(cost, value); });
    figure.panels.push_back(std::move(panel));
    figure.notes.push_back(front_text(table, front, cost));
  }
  return figure;
}

}  // namespace zoo::report
