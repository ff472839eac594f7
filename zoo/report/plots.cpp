#include "zoo/report/plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "zoo/report/cost.h"
#include "zoo/report/format.h"
#include "zoo/report/plot_parts.h"
#include "zoo/report/slices.h"

namespace zoo::report {

namespace {

std::string bars(const Table& table) {
  return table.seeds > 1 ? " Bars are 95% intervals over seeds." : "";
}

// The columns that have a panel of accuracy against width or state: all, but of the slices that a line or a grid shows
// together only that of all of them.
std::vector<std::size_t> panel_columns(const Table& table) {
  std::set<std::size_t> shown_elsewhere;
  for (const SliceFamily& family : slice_families(table)) {
    if (line_option(table, family).empty() && !is_grid(table, family)) continue;
    shown_elsewhere.insert(family.columns.begin(), family.columns.end());
  }
  std::vector<std::size_t> columns;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (!shown_elsewhere.contains(i)) columns.push_back(i);
  }
  return columns;
}

// Accuracy against a figure of each row: its width or its state.
template <typename X>
Figure accuracy_figure(const Table& table, const Styles& styles, Figure figure, const std::string& x_label, X&& x_of) {
  for (const std::size_t column : panel_columns(table)) {
    Panel panel{.title = table.columns[column].label,
                .x_label = x_label,
                .y_label = "test accuracy",
                .x_ticks = {},
                .log2_x = true,
                .y_maximum = accuracy_top,
                .series = {}};
    for (const Row& row : table.rows) {
      const Result& result = row.results[column];
      const double x = x_of(row, result);
      if (!result.has_figures() || !(x > 0)) continue;
      series_of(panel, table.subjects[row.subject], styles).points.push_back(accuracy_point(x, result.accuracy));
    }
    sort_points(panel);
    if (!panel.series.empty()) figure.panels.push_back(std::move(panel));
  }
  return figure;
}

// The mean over runs of a figure at each epoch; a run that has ended keeps its last.
template <typename Value>
std::vector<Point> curve(std::span<const Run> runs, const std::vector<std::size_t>& indices, Value&& value) {
  std::map<std::int64_t, double> sums;
  std::set<std::int64_t> epochs;
  for (const std::size_t index : indices) {
    for (const EpochResult& epoch : runs[index].epochs) epochs.insert(epoch.epoch);
  }
  std::vector<Point> points;
  for (const std::int64_t epoch : epochs) {
    double sum = 0;
    int count = 0;
    for (const std::size_t index : indices) {
      const EpochResult* latest = nullptr;
      for (const EpochResult& result : runs[index].epochs) {
        if (result.epoch <= epoch) latest = &result;
      }
      if (latest == nullptr || !std::isfinite(value(*latest))) continue;
      sum += value(*latest);
      ++count;
    }
    if (count == 0) continue;
    const double mean = sum / count;
    points.push_back({static_cast<double>(epoch), mean, mean, mean});
  }
  return points;
}

Panel curve_panel(const Table& table, const std::string& width, std::size_t column, std::span<const Run> runs,
                  const Styles& styles, bool of_loss) {
  Panel panel{.title = table.columns[column].label,
              .x_label = "epoch",
              .y_label = of_loss ? table.regression ? "validation mean squared error" : "validation loss (nats)"
                                 : "validation accuracy",
              .x_ticks = {},
              .y_maximum = of_loss ? 0 : accuracy_top,
              .series = {}};
  std::size_t longest = 0;
  for (const Row& row : table.rows) {
    if (row.width != width) continue;
    std::vector<Point> points = curve(runs, row.results[column].runs, [&](const EpochResult& epoch) {
      return of_loss ? epoch.validation_loss : epoch.validation_accuracy;
    });
    if (points.empty()) continue;
    for (const Point& point : points) {
      if (of_loss) panel.y_maximum = std::max(panel.y_maximum, 1.05 * point.y);
    }
    longest = std::max(longest, points.size());
    series_of(panel, table.subjects[row.subject], styles).points = std::move(points);
  }
  if (panel.y_maximum <= 0) panel.y_maximum = 1;
  panel.markers = longest <= 12;
  const std::size_t step = longest / 8 + 1;  // whole epochs, eight labels at most
  for (std::size_t epoch = step; epoch <= longest; epoch += step) {
    panel.x_ticks.push_back({static_cast<double>(epoch), std::to_string(epoch)});
  }
  return panel;
}

Figure width_figure(const Table& table, const Styles& styles) {
  Figure figure = accuracy_figure(table, styles,
                                  {.title = "Accuracy against width",
                                   .caption = "Test accuracy by model width, at the learning rate chosen on the "
                                              "validation split." +
                                              bars(table),
                                   .panels = {}},
                                  "d_model", [](const Row& row, const Result&) { return row.d_model; });
  for (Panel& panel : figure.panels) tick_at_points(panel);
  return figure;
}

Figure state_figure(const Table& table, const Styles& styles) {
  Figure figure = accuracy_figure(
      table, styles,
      {.title = "Accuracy against state",
       .caption = "Test accuracy by what the model carries from token to token: the bytes of all its state tensors, "
                  "measured after the last token, batch 1. Points of a line are widths." +
                  bars(table),
       .panels = {}},
      "state", [](const Row&, const Result& result) { return static_cast<double>(result.state_bytes.value_or(0)); });
  for (Panel& panel : figure.panels) tick_at_round(panel, true, format_bytes);
  return figure;
}

Figure curves_figure(const Table& table, std::span<const Run> runs, const Styles& styles, const std::string& width) {
  Figure figure{.title = "Learning curves at d_model " + width,
                .caption =
                    "Validation accuracy and loss after each epoch, means over seeds, at the chosen learning "
                    "rate. A run that stopped early keeps its last figure.",
                .panels = {}};
  for (const bool of_loss : {false, true}) {
    for (const std::size_t column : cell_columns(table)) {
      Panel panel = curve_panel(table, width, column, runs, styles, of_loss);
      if (!panel.series.empty()) figure.panels.push_back(std::move(panel));
    }
    if (!of_loss && figure.panels.size() > 1) figure.panels_of_first_row = figure.panels.size();
  }
  return figure;
}

}  // namespace

std::vector<std::size_t> cell_columns(const Table& table) {
  std::vector<std::size_t> columns;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const bool known = std::ranges::any_of(
        columns, [&](std::size_t other) { return table.columns[other].cell == table.columns[i].cell; });
    if (!known) columns.push_back(i);
  }
  return columns;
}

Styles assign_styles(const Summary& summary) {
  Styles styles;
  for (const Table& table : summary.tables) {
    for (const Subject& subject : table.subjects) styles.emplace(subject.label, styles.size());
  }
  return styles;
}

std::vector<Figure> make_figures(const Table& table, std::span<const Run> runs, const Styles& styles) {
  std::vector<Figure> figures = line_figures(table, styles);
  const std::vector<std::string> widths = widths_of(table);
  // One width is a point without a line: the costs below show it, and the table.
  if (widths.size() > 1) {
    figures.push_back(width_figure(table, styles));
    figures.push_back(state_figure(table, styles));
  }
  std::ranges::move(group_figures(table, runs, styles), std::back_inserter(figures));
  figures.push_back(cost_figure(table, runs, styles));
  for (const std::string& width : widths) {
    figures.push_back(curves_figure(table, runs, styles, width));
    figures.back().open = width == widths.front();
  }
  std::erase_if(figures, [](const Figure& figure) { return figure.panels.empty(); });
  return figures;
}

}  // namespace zoo::report
