#include <algorithm>
#include <map>

#include "zoo/report/format.h"
#include "zoo/report/measures.h"
#include "zoo/report/plot_parts.h"
#include "zoo/report/plots.h"
#include "zoo/report/slices.h"

namespace zoo::report {

namespace {

// "T 64, d_model 128": of the cell only what tells it from others, of the width nothing where there is one.
std::string panel_title(const Table& table, const std::string& width, std::size_t column) {
  std::string title = cell_columns(table).size() > 1 ? table.columns[column].label : "";
  if (widths_of(table).size() > 1) title += (title.empty() ? "d_model " : ", d_model ") + width;
  return title;
}

Panel line_panel(const Table& table, const SliceFamily& family, const std::string& option, const std::string& width,
                 const Styles& styles) {
  const nlohmann::json& cell = table.columns[family.columns.front()].cell;
  const auto of_cell = std::ranges::find(table.columns, cell, &Column::cell) - table.columns.begin();
  Panel panel{.title = panel_title(table, width, static_cast<std::size_t>(of_cell)),
              .x_label = option == "seq_len" ? "T" : option,
              .y_label = "test accuracy",
              .x_ticks = {},
              .y_maximum = accuracy_top,
              .series = {}};
  for (const Row& row : table.rows) {
    if (row.width != width) continue;
    for (const std::size_t column : family.columns) {
      const Result& result = row.results[column];
      if (!result.has_figures()) continue;
      const double x = number_or_nan(field(table.columns[column].slice, option.c_str()));
      series_of(panel, table.subjects[row.subject], styles).points.push_back(accuracy_point(x, result.accuracy));
    }
  }
  panel.log2_x = spans_octaves(panel);
  sort_points(panel);
  tick_at_points(panel);
  for (const double value : trained_values(table, cell, option)) {
    if (!panel.log2_x || value > 0) panel.x_marks.push_back({value, "trained"});
  }
  return panel;
}

}  // namespace

std::vector<Figure> line_figures(const Table& table, const Styles& styles) {
  std::map<std::string, Figure> figures;  // by option
  const std::string bars = table.seeds > 1 ? " Bars are 95% intervals over seeds." : "";
  for (const SliceFamily& family : slice_families(table)) {
    const std::string option = line_option(table, family);
    if (option.empty()) continue;
    Figure& figure = figures[option];
    const std::string quantity = option == "seq_len" ? "length" : one_line(option);
    figure.title = "Accuracy against " + quantity;
    figure.caption = "Test accuracy by " + (option == "seq_len" ? "the length T of the test sequences" : quantity) +
                     "; the dotted line is where the model was trained." + bars;
    for (const std::string& width : widths_of(table)) {
      Panel panel = line_panel(table, family, option, width, styles);
      if (!panel.series.empty()) figure.panels.push_back(std::move(panel));
    }
  }
  std::vector<Figure> all;
  for (auto& [option, figure] : figures) all.push_back(std::move(figure));
  return all;
}

std::vector<Figure> group_figures(const Table& table, std::span<const Run> runs, const Styles& styles) {
  std::map<std::string, Figure> figures;  // by the groups' name
  for (const std::size_t column : cell_columns(table)) {
    for (const std::string& width : widths_of(table)) {
      std::map<std::string, Panel> panels;
      for (const Row& row : table.rows) {
        if (row.width != width) continue;
        const Measures measures = measure(runs, table.columns[column], row.results[column]);
        if (measures.groups.empty()) continue;
        Panel& panel = panels
                           .try_emplace(measures.group_name, Panel{.title = panel_title(table, width, column),
                                                                   .x_label = measures.group_name,
                                                                   .y_label = "test accuracy",
                                                                   .x_ticks = {},
                                                                   .y_maximum = accuracy_top,
                                                                   .series = {}})
                           .first->second;
        Series& series = series_of(panel, table.subjects[row.subject], styles);
        for (const GroupScore& group : measures.groups) {
          series.points.push_back(accuracy_point(group.value, group.accuracy));
        }
      }
      for (auto& [name, panel] : panels) {
        panel.log2_x = spans_octaves(panel);
        tick_at_points(panel);
        figures[name].panels.push_back(std::move(panel));
      }
    }
  }
  std::vector<Figure> all;
  for (auto& [name, figure] : figures) {
    figure.title = "Accuracy by " + name;
    figure.caption = "Test accuracy on the labels of each group, all slices of a cell together." +
                     std::string(table.seeds > 1 ? " Bars are 95% intervals over seeds." : "");
    all.push_back(std::move(figure));
  }
  return all;
}

}  // namespace zoo::report
