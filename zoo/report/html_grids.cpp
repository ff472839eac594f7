#include <fmt/format.h>

#include <algorithm>

#include "zoo/report/format.h"
#include "zoo/report/html_elements.h"
#include "zoo/report/html_parts.h"
#include "zoo/report/slices.h"

namespace zoo::report {

namespace {

// The option that runs to the right: the length where there is one, for that is how such grids are drawn.
std::pair<std::string, std::string> right_and_down(const SliceFamily& family) {
  return family.options[1] == "seq_len" ? std::pair(family.options[1], family.options[0])
                                        : std::pair(family.options[0], family.options[1]);
}

std::string option_name(const std::string& option) {
  return option == "seq_len" ? "T" : option;
}

// One row's grid: a line a value of one option, a column a value of the other.
std::string grid_of(const Table& table, const SliceFamily& family, const Row& row, const std::string& title) {
  const auto options = right_and_down(family);
  const std::string& right = options.first;
  const std::string& down = options.second;
  const std::vector<double> columns = option_values(table, family, right);
  std::string content = table_caption(title) + "<thead><tr><th scope=\"col\">" +
                        escape_html(option_name(down) + " \\ " + option_name(right)) + "</th>";
  for (const double x : columns) content += "<th scope=\"col\">" + format_exact(x) + "</th>";
  content += "</tr></thead>\n<tbody>\n";
  for (const double y : option_values(table, family, down)) {
    content += "<tr><th scope=\"row\">" + format_exact(y) + "</th>";
    for (const double x : columns) {
      const auto at = std::ranges::find_if(family.columns, [&](std::size_t column) {
        const nlohmann::json& slice = table.columns[column].slice;
        return number_or_nan(field(slice, right.c_str())) == x && number_or_nan(field(slice, down.c_str())) == y;
      });
      if (at == family.columns.end() || !row.results[*at].has_figures()) {
        content += "<td></td>";
        continue;
      }
      const Result& result = row.results[*at];
      content += fmt::format("<td class=\"heat\" style=\"--heat:{:.3f}\" title=\"{}\">{}</td>",
                             std::clamp(result.accuracy.mean, 0.0, 1.0), escape_html(format_accuracy(result.accuracy)),
                             format_accuracy(result.accuracy.mean));
    }
    content += "</tr>\n";
  }
  return scrolling_table(title, "heats", content + "</tbody>\n");
}

}  // namespace

std::string html_grids(const Table& table, int heading) {
  std::string html;
  for (const SliceFamily& family : slice_families(table)) {
    if (!is_grid(table, family)) continue;
    const auto [right, down] = right_and_down(family);
    std::string grids;
    for (const Row& row : table.rows) {
      const bool figures =
          std::ranges::any_of(family.columns, [&](std::size_t column) { return row.results[column].has_figures(); });
      if (!figures) continue;
      const std::string& label = table.subjects[row.subject].label;
      grids += "<div" + name_attribute(label) + ">" +
               grid_of(table, family, row, fmt::format("{}, d_model {}", label, row.width)) + "</div>\n";
    }
    if (grids.empty()) continue;
    html += fmt::format("<figure>\n<h{0}>Accuracy by {1} and {2}</h{0}>\n<div class=\"grids\">\n{3}</div>\n</figure>\n",
                        heading, escape_html(option_name(right)), escape_html(option_name(down)), grids);
  }
  return html;
}

}  // namespace zoo::report
