#include "zoo/report/html_elements.h"

#include <fmt/format.h>

#include "zoo/report/gnuplot.h"

namespace zoo::report {

std::string scrolling_table(std::string_view label, std::string_view kind, const std::string& content) {
  return fmt::format(
      "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n<table "
      "class=\"{}\">\n{}</table>\n</div>\n",
      escape_html(label), kind, content);
}

std::string table_caption(const std::string& text) {
  return fmt::format("<caption><span>{}</span></caption>\n", escape_html(text));
}

std::string table_head(const std::vector<std::string>& names) {
  std::string text = "<thead><tr>";
  for (const std::string& name : names) text += "<th scope=\"col\">" + escape_html(name) + "</th>";
  return text + "</tr></thead>\n";
}

std::string table_body(const std::vector<Line>& lines) {
  std::string text = "<tbody>\n";
  for (const Line& line : lines) {
    text += "<tr" + name_attribute(line.name) + ">";
    for (std::size_t i = 0; i < line.cells.size(); ++i) {
      text += i == 0 ? "<th scope=\"row\">" + line.cells[i] + "</th>" : "<td>" + line.cells[i] + "</td>";
    }
    text += "</tr>\n";
  }
  return text + "</tbody>\n";
}

std::string small(const std::string& text) {
  return text.empty() ? "" : "<span class=\"small\">" + escape_html(text) + "</span>";
}

std::string name_attribute(const std::string& name) {
  return name.empty() ? "" : " data-name=\"" + escape_html(name) + "\"";
}

std::string details(const std::string& summary, const std::string& content) {
  return fmt::format("<details>\n<summary>{}</summary>\n{}</details>\n", escape_html(summary), content);
}

}  // namespace zoo::report
