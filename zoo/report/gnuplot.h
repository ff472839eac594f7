#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zoo::report {

/// A point of a line; low and high are the ends of its error bar, both equal to y for none.
struct Point {
  double x = 0;
  double y = 0;
  double low = 0;
  double high = 0;
};

/// How the points of a series are joined: `points` not at all, `front` by a dashed staircase in the colour of the text,
/// without markers.
enum class Joined { lines, points, front };

/// A line of a plot. `style` picks colour, marker and dash, the same in every plot of a report.
struct Series {
  std::string label;
  std::size_t style = 0;
  std::vector<Point> points;
  Joined joined = Joined::lines;
};

struct Tick {
  double at = 0;
  std::string label;
};

/// One small plot.
struct Panel {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<Tick> x_ticks;       ///< empty: chosen by gnuplot
  std::vector<Tick> x_marks = {};  ///< upright dotted lines, their labels at the top
  bool log2_x = false;
  bool log10_y = false;
  bool markers = true;  ///< at each point, with its error bar
  double y_minimum = 0;
  double y_maximum = 1;
  bool end_labels = true;  ///< lines are named at their ends, where there are not too many
  std::vector<Series> series;
};

/// Number of colours that a page must define, as --zoo-series-0 and so on; style s uses colour s modulo this.
inline constexpr std::size_t palette_size = 8;

/// Whether every line is labelled in full at its end, so that the panel needs no legend.
bool names_its_lines(const Panel& panel);

/// Draws a panel as an <svg> element for a page of HTML. Ids in it begin with `id`, which must be unique on the page
/// and made of letters, digits and "-". Colours are CSS variables (--zoo-series-N, --zoo-grid) and currentColor, so
/// that the page decides on light and dark. No label ever reaches gnuplot: it gets placeholders, which are replaced by
/// the escaped texts afterwards. Throws Error when gnuplot is missing or fails; the message says what to do. The
/// program is `gnuplot`, or what the environment variable ZOO_GNUPLOT names.
std::string draw_panel(const Panel& panel, std::string_view id);

/// Draws many at once, by one process, which takes a fraction of the time.
std::vector<std::string> draw_panels(std::span<const Panel> panels, std::span<const std::string> ids);

/// The marker and dash of a style as a small <svg> for a legend.
std::string legend_mark(std::size_t style);

/// Text for HTML, inside elements and quoted attributes: & < > " ' are escaped, control characters become spaces.
std::string escape_html(std::string_view text);

}  // namespace zoo::report
