#pragma once

#include <functional>
#include <string>

#include "zoo/report/gnuplot.h"
#include "zoo/report/plots.h"
#include "zoo/report/summary.h"

/// What the plots of a report have in common.
namespace zoo::report {

inline constexpr double accuracy_top = 1.04;  ///< a little room above 1, where the best lines run

/// A point with the interval as its error bar, none where there is none.
Point accuracy_point(double x, const Estimate& accuracy);

/// The line of a subject, added when the panel has none yet.
Series& series_of(Panel& panel, const Subject& subject, const Styles& styles);

/// Orders each line from left to right.
void sort_points(Panel& panel);

/// A tick at every x that a point has.
void tick_at_points(Panel& panel);

/// Ticks for a logarithmic axis: at most five, at powers of two (bytes) or at 1, 2 and 5 times powers of ten, and at
/// the least and greatest x where too few of those lie between them.
void tick_at_round(Panel& panel, bool powers_of_two, const std::function<std::string(double)>& format);

/// Whether an axis with these values is better logarithmic: all positive, over three doublings or more.
bool spans_octaves(const Panel& panel);

/// The widths of a table, each once, ascending.
std::vector<std::string> widths_of(const Table& table);

}  // namespace zoo::report
