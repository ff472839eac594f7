#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "zoo/io/store.h"
#include "zoo/report/gnuplot.h"
#include "zoo/report/summary.h"

namespace zoo::report {

/// Panels that belong together: one idea, one caption.
struct Figure {
  std::string title;
  std::string caption;
  std::vector<Panel> panels;
  std::size_t panels_of_first_row = 0;  ///< where a second quantity begins, in a row of its own; 0: in the same row
  bool open = true;                     ///< shown at once; others are opened by the reader
};

/// The style of each subject by its label, the same in all tables of a report.
using Styles = std::map<std::string, std::size_t>;
Styles assign_styles(const Summary& summary);

/// The plots of one table: accuracy against d_model (a panel a column, a line a subject, as in figure 2 of Zoology),
/// accuracy against state bytes (as in figure 2 of Based), and for each width the learning curves of the runs at the
/// chosen learning rate (validation accuracy and loss against the epoch, means over seeds; a run that stopped early
/// keeps its last figure). Plots that would be empty are left out.
std::vector<Figure> make_figures(const Table& table, std::span<const Run> runs, const Styles& styles);

}  // namespace zoo::report
