#include "zoo/report/html_page.h"

#include <fmt/format.h>

#include "zoo/core/version.h"
#include "zoo/report/gnuplot.h"
#include "zoo/report/html_parts.h"

namespace zoo::report {

void Sections::add(const std::string& id, const std::string& title, const std::string& content, int heading) {
  if (content.empty()) return;
  html_ += fmt::format(
      "<section id=\"{0}\" aria-labelledby=\"{0}-title\">\n<h{3} id=\"{0}-title\">{1}</h{3}>\n{2}</section>\n", id,
      escape_html(title), content, heading);
  links_ += fmt::format("<a href=\"#{}\">{}</a>\n", id, escape_html(title));
}

void Sections::add_part(const std::string& id, const std::string& title, const std::string& name,
                        const Sections& sections) {
  html_ += fmt::format(
      "<section id=\"{0}\" class=\"part\" data-part=\"{2}\" aria-labelledby=\"{0}-title\">\n<h2 "
      "id=\"{0}-title\">{1}</h2>\n{3}</section>\n",
      id, escape_html(title), escape_html(name), sections.html_);
  links_ += fmt::format("<a href=\"#{}\">{}</a>\n", id, escape_html(title));
}

std::string Sections::navigation() const {
  return "<nav aria-label=\"Sections\">\n" + links_ + "</nav>\n";
}

std::string html_page(const std::string& title, const std::string& header, const std::string& main,
                      const std::string& footer, const std::string& script) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>{}</style>\n"
      "</head>\n<body>\n<header>\n{}</header>\n<main>\n{}</main>\n<footer>zoo {}. {}</footer>\n{}</body>\n</html>\n",
      escape_html(title), page_style, header, main, version, footer,
      script.empty() ? "" : fmt::format("<script>{}</script>\n", script));
}

}  // namespace zoo::report
