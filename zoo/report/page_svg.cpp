#include "zoo/report/page_svg.h"

#include <fmt/format.h>

#include <regex>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/report/gnuplot.h"

namespace zoo::report {

namespace {

// What a page changes in gnuplot's text: a pattern and what stands in its place.
struct Change {
  std::regex pattern;
  std::string with;
};

const std::vector<Change>& page_changes() {
  static const std::vector<Change> changes = [] {
    std::vector<Change> all;
    const auto add = [&](const std::string& pattern, const std::string& with) {
      all.push_back({std::regex(pattern, std::regex::ECMAScript | std::regex::optimize), with});
    };
    add("<g [^>]*>\\s*</g>\\s*", "");
    add("<filter[^]*?</filter>\\s*", "");
    add("<use [^>]*color='white'/>\\s*", "");  // halos, which assume white paper
    add("<title>[^<]*</title>", "");
    for (std::size_t s = 0; s < palette_size; ++s) {
      add(fmt::format("rgb\\( *{}, *0, *0\\)", 200 + s), fmt::format("var(--zoo-series-{})", s));
    }
    add("rgb\\( *1, *1, *1\\)|\"black\"|'black'", "currentColor");
    add("rgb\\( *2, *2, *2\\)", "var(--zoo-grid)");
    add("=currentColor", "=\"currentColor\"");
    add("font-family=\"[^\"]*\"", "");
    return all;
  }();
  return changes;
}

}  // namespace

std::string page_svg(std::string_view document, std::string_view id) {
  const std::size_t begin = document.find("<g id=\"gnuplot_canvas\"");
  if (begin == std::string_view::npos) {
    throw Error("gnuplot wrote no SVG; check that `gnuplot --version` is 5 or newer");
  }
  std::string svg(document.substr(begin));
  for (const Change& change : page_changes()) svg = std::regex_replace(svg, change.pattern, change.with);
  static const std::regex names("(id=|href=)(['\"])(#?)(?=\\w)");
  return std::regex_replace(svg, names, fmt::format("$1$2$3{}-", id));
}

}  // namespace zoo::report
