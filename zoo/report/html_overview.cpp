#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "zoo/nn/head.h"
#include "zoo/report/format.h"
#include "zoo/report/html_elements.h"
#include "zoo/report/html_parts.h"
#include "zoo/report/measures.h"

namespace zoo::report {

namespace {

// "d_model 64, lr 0.001, heads=2, setting 3", each as often as it differs between the places.
std::string chosen_settings(const Summary& summary, const OverviewCell& cell) {
  std::set<double> rates;
  std::set<std::string> options;
  std::set<std::size_t> settings;
  for (const Place& place : cell.places) {
    const Table& table = summary.tables[place.table];
    const Row& row = table.rows[place.row];
    if (const double rate = row.results[place.column].learning_rate; !std::isnan(rate)) rates.insert(rate);
    if (!table.subjects[row.subject].options.empty()) options.insert(table.subjects[row.subject].options);
    settings.insert(place.table + 1);
  }
  std::string text = "d_model " + overview_widths(summary, cell);
  for (const double rate : rates) text += (rate == *rates.begin() ? "; lr " : ", ") + format_rate(rate);
  for (const std::string& one : options) text += "; " + one;
  text += settings.size() == 1 ? "; setting " : "; settings ";
  for (const std::size_t one : settings) text += (one == *settings.begin() ? "" : ", ") + std::to_string(one);
  return text;
}

std::string cell_html(const Summary& summary, const OverviewTask& task, const OverviewCell& cell, bool show_width) {
  if (!cell.tried) return "<td></td>";
  if (cell.places.empty()) return "<td>–*</td>";
  std::string title = chosen_settings(summary, cell);
  if (task.cells.size() > 1) title += fmt::format("; mean of {} of {} cells", cell.places.size(), task.cells.size());
  if (cell.diverged > 0) title += fmt::format("; diverged seeds: {}", cell.diverged);
  return fmt::format(
      "<td class=\"heat\" style=\"--heat:{:.3f}\" title=\"{}\"><a href=\"#results-{}\">{}</a>{}{}{}</td>",
      std::clamp(cell.accuracy, 0.0, 1.0), escape_html(title), cell.places.front().table + 1,
      format_accuracy(cell.accuracy), cell.diverged > 0 ? "†" : "", cell.complete ? "" : "*",
      show_width ? small("d " + overview_widths(summary, cell)) : "");
}

// A name that may be broken behind its underscores.
std::string breakable(const std::string& name) {
  std::string html;
  for (const char c : escape_html(name)) {
    html += c;
    if (c == '_') html += "<wbr>";
  }
  return html;
}

std::string task_note(const OverviewTask& task) {
  std::string note = task.regression ? fmt::format("within {}", regression_tolerance) : "";
  if (task.cells.size() > 1) note += fmt::format("{}{} cells", note.empty() ? "" : ", ", task.cells.size());
  return note;
}

}  // namespace

std::string html_overview(const Summary& summary, const Overview& overview) {
  std::set<std::string> widths;
  bool several_cells = false;
  bool regression = false;
  bool diverged = false;
  bool incomplete = false;
  for (const auto& row : overview.cells) {
    for (const OverviewCell& cell : row) {
      if (!cell.places.empty()) widths.insert(overview_widths(summary, cell));
      diverged = diverged || cell.diverged > 0;
      incomplete = incomplete || (cell.tried && !cell.complete);
    }
  }
  std::string all_tasks;
  for (const OverviewTask& task : overview.tasks) {
    several_cells = several_cells || task.cells.size() > 1;
    regression = regression || task.regression;
    all_tasks += " " + task.label;
  }
  std::string text =
      "Test accuracy of each layer on each task, at the width and the settings that were best on the "
      "validation split.";
  if (several_cells) text += " A task of several cells has their mean.";
  if (regression) text += " Where answers are numbers: " + tolerance_sentence();
  text += " An empty place has no run.";
  std::string content = "<thead><tr><th scope=\"col\">Layer</th>";
  for (const OverviewTask& task : overview.tasks) {
    content += "<th scope=\"col\">" + breakable(task.label) + small(task_note(task)) + "</th>";
  }
  content += "</tr></thead>\n<tbody>\n";
  for (std::size_t layer = 0; layer < overview.layers.size(); ++layer) {
    content += fmt::format("<tr{}><th scope=\"row\">{}</th>", name_attribute(overview.layers[layer] + all_tasks),
                           escape_html(overview.layers[layer]));
    for (std::size_t task = 0; task < overview.tasks.size(); ++task) {
      content += cell_html(summary, overview.tasks[task], overview.cells[layer][task], widths.size() > 1);
    }
    content += "</tr>\n";
  }
  // Not the table's caption, which would be as narrow as a table of one task.
  std::string html = "<p class=\"quiet\">" + escape_html(text) + "</p>\n" +
                     scrolling_table("Overview", "heats", content + "</tbody>\n");
  if (diverged) html += "<p class=\"quiet\">† The loss of at least one seed became NaN or infinite.</p>\n";
  if (incomplete)
    html += "<p class=\"quiet\">* Not all runs are finished, or not all cells of the task were run.</p>\n";
  return html;
}

}  // namespace zoo::report
