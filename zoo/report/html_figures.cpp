#include "zoo/report/html_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/report/html_elements.h"

namespace zoo::report {

namespace {

// What stands for what, where the lines of some panel are not all named at their ends.
std::string legend_of(const Figure& figure, const Styles& styles) {
  if (std::ranges::all_of(figure.panels, names_its_lines)) return "";
  std::vector<std::string> labels;
  for (const Panel& panel : figure.panels) {
    for (const Series& series : panel.series) {
      const bool known = std::ranges::find(labels, series.label) != labels.end();
      if (!known && series.joined != Joined::front) labels.push_back(series.label);
    }
  }
  std::string legend;
  for (const std::string& label : labels) {
    legend += "<li" + name_attribute(label) + ">" + legend_mark(styles.at(label)) + escape_html(label) + "</li>\n";
  }
  return "<ul class=\"legend\">\n" + legend + "</ul>\n";
}

}  // namespace

std::string FigureWriter::write(std::span<const Figure> figures, const Styles& styles, int heading) {
  const std::vector<std::string> drawn = draw(figures);
  auto next = drawn.begin();
  std::string html;
  for (const Figure& figure : figures) {
    std::string panels;
    for (std::size_t i = 0; i < figure.panels.size() && next != drawn.end(); ++i) {
      if (i > 0 && i == figure.panels_of_first_row) panels += "</div>\n<div class=\"panels\">\n";
      panels += *next++;
    }
    std::string content = fmt::format("<figcaption>{}</figcaption>\n{}<div class=\"panels\">\n{}</div>\n",
                                      escape_html(figure.caption), legend_of(figure, styles), panels);
    for (const std::string& note : figure.notes) content += "<p class=\"quiet\">" + escape_html(note) + "</p>\n";
    html += figure.open
                ? fmt::format("<figure>\n<h{0}>{1}</h{0}>\n{2}</figure>\n", heading, escape_html(figure.title), content)
                : details(figure.title, "<figure>\n" + content + "</figure>\n");
  }
  return html;
}

// One <svg> a panel; after a failure the reason, once, and no more.
std::vector<std::string> FigureWriter::draw(std::span<const Figure> figures) {
  std::vector<Panel> panels;
  std::vector<std::string> ids;
  for (const Figure& figure : figures) {
    for (const Panel& panel : figure.panels) {
      panels.push_back(panel);
      ids.push_back(fmt::format("plot{}", ++count_));
    }
  }
  if (panels.empty() || !failure_.empty()) return {};
  try {
    return draw_panels(panels, ids);
  } catch (const Error& error) {
    failure_ = error.what();
    warn_(failure_);
    return {"<p class=\"notice\">" + escape_html(failure_) + "</p>\n"};
  }
}

}  // namespace zoo::report
