#include "zoo/report/gnuplot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <regex>

#include "zoo/core/error.h"
#include "zoo/core/process.h"
#include "zoo/report/format.h"
#include "zoo/report/page_svg.h"

namespace zoo::report {

namespace {

constexpr int page_width = 400;
constexpr int page_height = 294;
constexpr int left_margin = 58;
constexpr int top_margin = 34;
constexpr int bottom_margin = 52;
constexpr double character_width = 6.6;  // of the labels at the lines' ends, in pixels
constexpr std::size_t label_characters = 18;
constexpr std::size_t most_direct_labels = 12;
constexpr std::string_view end_of_document = "</svg>";

// Markers by gnuplot's numbers (circle, square, triangle, diamond, then hollow ones), so that colour is not needed.
constexpr std::array markers = {7, 5, 9, 13, 11, 6, 4, 8};
constexpr std::array dashes = {"solid", "(9,4)", "(2,3)", "(9,3,2,3)"};

// Colours that stand for the page's: 200+s,0,0 for the series, 1,1,1 for ink, 2,2,2 for the grid.
std::string series_colour(std::size_t style) {
  return fmt::format("#{:02x}0000", 200 + style % palette_size);
}

/// Texts of a panel and the placeholders that gnuplot sees in their place.
class Placeholders {
 public:
  std::string add(const std::string& text) {
    texts_.push_back(text);
    return fmt::format("zoo{}text", texts_.size() - 1);
  }
  std::string restore(const std::string& svg) const {
    static const std::regex placeholder("zoo([0-9]+)text");
    std::string result;
    std::sregex_iterator next(svg.begin(), svg.end(), placeholder);
    std::size_t end = 0;
    for (; next != std::sregex_iterator(); ++next) {
      result.append(svg, end, static_cast<std::size_t>(next->position()) - end);
      result += escape_html(texts_.at(std::stoul((*next)[1])));
      end = static_cast<std::size_t>(next->position() + next->length());
    }
    return result + svg.substr(end);
  }

 private:
  std::vector<std::string> texts_;
};

struct Range {
  double low;
  double high;
};

Range x_range(const Panel& panel) {
  Range range{INFINITY, -INFINITY};
  for (const Series& series : panel.series) {
    for (const Point& point : series.points) range = {std::min(range.low, point.x), std::max(range.high, point.x)};
  }
  for (const Tick& mark : panel.x_marks) range = {std::min(range.low, mark.at), std::max(range.high, mark.at)};
  if (range.low > range.high) return {1, 2};
  if (panel.log2_x) {
    const double margin = range.low == range.high ? 1.5 : std::pow(range.high / range.low, 0.06);
    return {range.low / margin, range.high * margin};
  }
  const double margin = range.low == range.high ? 0.5 : 0.03 * (range.high - range.low);
  return {range.low - margin, range.high + margin};
}

// Heights (0 to 1) of the labels at the lines' ends: near where each line ends, far enough from each other to read.
std::vector<double> label_heights(const Panel& panel) {
  std::vector<double> wanted;
  for (const Series& series : panel.series) {
    const double y = series.points.empty() ? panel.y_minimum : series.points.back().y;
    const double share = panel.log10_y ? std::log(y / panel.y_minimum) / std::log(panel.y_maximum / panel.y_minimum)
                                       : (y - panel.y_minimum) / (panel.y_maximum - panel.y_minimum);
    wanted.push_back(std::clamp(share, 0.0, 1.0));
  }
  std::vector<std::size_t> order(wanted.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return wanted[a] < wanted[b]; });
  const double gap = std::min(0.08, 1.0 / static_cast<double>(std::max<std::size_t>(order.size(), 1)));
  double floor = -gap;
  for (const std::size_t i : order) floor = wanted[i] = std::max(wanted[i], floor + gap);
  double ceiling = 1 + gap;
  for (auto i = order.rbegin(); i != order.rend(); ++i) ceiling = wanted[*i] = std::min(wanted[*i], ceiling - gap);
  return wanted;
}

bool has_end_labels(const Panel& panel) {
  return panel.end_labels && panel.series.size() <= most_direct_labels;
}

std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{:.17g}", value) : "NaN";
}

// The lines' own part of the script: data, error bars, lines with markers, and a label at each end.
std::string series_script(const Panel& panel, Placeholders& texts) {
  std::string data;
  std::string plot;
  const std::vector<double> heights = label_heights(panel);
  for (std::size_t i = 0; i < panel.series.size(); ++i) {
    const Series& series = panel.series[i];
    if (series.points.empty()) continue;
    std::string bars;  // of points with an interval only: for others gnuplot would draw the ends of a bar
    data += fmt::format("$data{} << END\n", i);
    for (const Point& point : series.points) {
      data += fmt::format("{} {}\n", number(point.x), number(point.y));
      const auto end = [&](double y) { return number(std::clamp(y, panel.y_minimum, panel.y_maximum)); };
      if (point.low < point.high) {
        bars += fmt::format("{} {} {} {}\n", number(point.x), number(point.y), end(point.low), end(point.high));
      }
    }
    data += "END\n";
    if (!bars.empty()) data += fmt::format("$bars{} << END\n{}END\n", i, bars);
    if (series.joined == Joined::front) {
      plot +=
          fmt::format("$data{} using 1:2 with steps linecolor rgb '#010101' linewidth 1.2 dashtype (5,4) notitle, ", i);
      continue;
    }
    const std::string colour = series_colour(series.style);
    if (has_end_labels(panel)) {
      data += fmt::format("set label '{}' at graph 1.03,{:.4f} left textcolor rgb '{}'\n",
                          texts.add(shortened(series.label, label_characters)), heights[i], colour);
    }
    if (panel.markers && !bars.empty()) {
      plot += fmt::format(
          "$bars{} using 1:2:3:4 with yerrorbars linecolor rgb '{}' linewidth 1.2 pointtype 0 notitle, ", i, colour);
    }
    plot += fmt::format(
        "$data{} using 1:2 with {} linecolor rgb '{}' linewidth 2.2 dashtype {} {} notitle, ", i,
        series.joined == Joined::points ? "points"
        : panel.markers                 ? "linespoints"
                                        : "lines",
        colour, dashes[series.style / palette_size % dashes.size()],
        panel.markers ? fmt::format("pointtype {} pointsize 0.75", markers[series.style % markers.size()]) : "");
  }
  if (plot.empty()) plot = "NaN notitle";
  return data + "plot " + plot + "\n";
}

std::string script(const Panel& panel, Placeholders& texts) {
  std::size_t longest = 0;
  for (const Series& series : panel.series) {
    longest = std::max(longest, std::min(display_width(series.label), label_characters));
  }
  const double right_margin = has_end_labels(panel) ? 16 + character_width * static_cast<double>(longest) : 16;
  const Range x = x_range(panel);
  std::string text = fmt::format(
      "set terminal svg size {},{} dynamic font 'sans-serif,12' noenhanced linewidth 1 rounded\n"
      "set encoding utf8\n"
      "set pointintervalbox 0\n"
      "set lmargin at screen {}\nset rmargin at screen {}\nset tmargin at screen {}\nset bmargin at screen {}\n"
      "set border 3 linecolor rgb '#010101' linewidth 0.8\n"
      "set tics nomirror out scale 0.4 textcolor rgb '#010101'\n"
      "set grid ytics linetype 1 linecolor rgb '#020202' linewidth 0.8\n"
      "set title '{}' offset 0,-0.4 textcolor rgb '#010101'\n"
      "set xlabel '{}' offset 0,0.4 textcolor rgb '#010101'\nset ylabel '{}' offset 1.2,0 textcolor rgb '#010101'\n"
      "set xrange [{}:{}]\nset yrange [{}:{}]\nset ytics autofreq format '%g'\n",
      page_width, page_height, static_cast<double>(left_margin) / page_width, 1 - right_margin / page_width,
      1 - static_cast<double>(top_margin) / page_height, static_cast<double>(bottom_margin) / page_height,
      texts.add(panel.title), texts.add(panel.x_label), texts.add(panel.y_label), number(x.low), number(x.high),
      number(panel.y_minimum), number(panel.y_maximum));
  if (panel.log2_x) text += "set logscale x 2\n";
  if (panel.log10_y) text += "set logscale y 10\n";
  if (!panel.x_ticks.empty()) {
    std::string ticks;
    for (const Tick& tick : panel.x_ticks) {
      ticks += fmt::format("{}'{}' {}", ticks.empty() ? "" : ", ", texts.add(tick.label), number(tick.at));
    }
    text += "set xtics (" + ticks + ")\n";
  }
  for (const Tick& mark : panel.x_marks) {
    text += fmt::format(
        "set arrow from first {0},graph 0 to first {0},graph 1 nohead linecolor rgb '#010101' linewidth 0.9 dashtype "
        "(2,3)\n"
        "set label '{1}' at first {0},graph 1.02 center font ',10' textcolor rgb '#010101'\n",
        number(mark.at), texts.add(mark.label));
  }
  return text + series_script(panel, texts);
}

}  // namespace

bool names_its_lines(const Panel& panel) {
  return has_end_labels(panel) && std::ranges::all_of(panel.series, [](const Series& series) {
           return display_width(series.label) <= label_characters;
         });
}

std::string draw_panel(const Panel& panel, std::string_view id) {
  const std::string name(id);
  return draw_panels({&panel, 1}, {&name, 1}).front();
}

std::vector<std::string> draw_panels(std::span<const Panel> panels, std::span<const std::string> ids) {
  const char* program = std::getenv("ZOO_GNUPLOT");
  std::vector<Placeholders> texts(panels.size());
  std::string input;
  for (std::size_t i = 0; i < panels.size(); ++i) {
    if (i > 0) input += "unset output\nset output\nreset\n";  // a document of its own
    input += script(panels[i], texts[i]);
  }
  const std::chrono::milliseconds time_limit(30'000 + 500 * panels.size());
  ProcessResult result;
  try {
    result = run_process({.arguments = {program == nullptr ? "gnuplot" : program, "-d", "-"},
                          .environment = {"LC_ALL=C", "GNUTERM=svg"},
                          .input = input,
                          .time_limit = time_limit});
  } catch (const Error& error) {
    throw Error("no plot: {}; on Debian or Ubuntu: apt-get install gnuplot-nox", error.what());
  }
  if (result.exit_code != 0) {
    const std::string reason = result.timed_out
                                   ? fmt::format("it took longer than {} seconds", time_limit.count() / 1000)
                                   : one_line(result.error);
    throw Error("no plot: gnuplot failed ({}); on Debian or Ubuntu: apt-get install gnuplot-nox",
                shortened(reason.empty() ? fmt::format("exit code {}", result.exit_code) : reason, 300));
  }
  std::vector<std::string> drawn;
  std::string_view rest = result.output;
  for (std::size_t i = 0; i < panels.size(); ++i) {
    const Panel& panel = panels[i];
    const std::size_t end = rest.find(end_of_document);
    if (end == std::string_view::npos)
      throw Error("gnuplot wrote no SVG; check that `gnuplot --version` is 5 or newer");
    const std::string title = panel.title.empty() ? panel.y_label : panel.y_label + ", " + panel.title;
    drawn.push_back(fmt::format(
        "<svg viewBox=\"0 0 {} {}\" xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" "
        "role=\"img\" aria-labelledby=\"{}-title\">\n<title id=\"{}-title\">{}</title>\n{}</svg>\n",
        page_width, page_height, ids[i], ids[i], escape_html(title),
        texts[i].restore(page_svg(rest.substr(0, end), ids[i]))));
    rest.remove_prefix(end + end_of_document.size());
  }
  return drawn;
}

std::string legend_mark(std::size_t style) {
  // The shapes of `markers`, filled and then hollow.
  constexpr std::array shapes = {"<circle cx=\"16\" cy=\"7\" r=\"4\"/>",
                                 "<rect x=\"12.5\" y=\"3.5\" width=\"7\" height=\"7\"/>",
                                 "<path d=\"M16 2.5 L20.5 10.5 H11.5 Z\"/>",
                                 "<path d=\"M16 2 L21 7 L16 12 L11 7 Z\"/>",
                                 "<path d=\"M16 11.5 L20.5 3.5 H11.5 Z\"/>",
                                 "<circle cx=\"16\" cy=\"7\" r=\"4\" fill=\"none\"/>",
                                 "<rect x=\"12.5\" y=\"3.5\" width=\"7\" height=\"7\" fill=\"none\"/>",
                                 "<path d=\"M16 2.5 L20.5 10.5 H11.5 Z\" fill=\"none\"/>"};
  constexpr std::array patterns = {"none", "9 4", "2 3", "9 3 2 3"};
  const std::string colour = fmt::format("var(--zoo-series-{})", style % palette_size);
  return fmt::format(
      "<svg class=\"mark\" viewBox=\"0 0 32 14\" width=\"32\" height=\"14\" aria-hidden=\"true\" stroke=\"{0}\" "
      "fill=\"{0}\"><path d=\"M1 7 H31\" stroke-width=\"2.2\" stroke-dasharray=\"{1}\"/>{2}</svg>",
      colour, patterns[style / palette_size % patterns.size()], shapes[style % shapes.size()]);
}

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char c : one_line(text)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

}  // namespace zoo::report
