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
  std::vector<std::string> notes = {};  ///< sentences below the panels
  std::size_t panels_of_first_row = 0;  ///< where a second quantity begins, in a row of its own; 0: in the same row
  bool open = true;                     ///< shown at once; others are opened by the reader
};

/// The style of each subject by its label, the same in all tables of a report.
using Styles = std::map<std::string, std::size_t>;
Styles assign_styles(const Summary& summary);

/// The plots of one table, in this order; those that would be empty are left out.
///   accuracy against length   where a cell is tested at several: a panel a cell and width, a line a subject
///   accuracy against d_model  where there are several widths: a panel a column, a line a subject (figure 2 of Zoology)
///   accuracy against state    likewise (figure 2 of Based)
///   accuracy by group         where labels were sorted into groups: see Measures::groups
///   cost against accuracy     see cost.h
///   learning curves           for each width, of the runs at the chosen learning rate: validation accuracy and loss
///                             against the epoch, means over seeds; a run that stopped early keeps its last figure
std::vector<Figure> make_figures(const Table& table, std::span<const Run> runs, const Styles& styles);

/// The first of these, for every option by which the slices of a cell are a line (line_option() in slices.h). The
/// values that the runs were trained on are marked.
std::vector<Figure> line_figures(const Table& table, const Styles& styles);
/// Accuracy by group, a figure for each name that groups have.
std::vector<Figure> group_figures(const Table& table, std::span<const Run> runs, const Styles& styles);

/// Columns that stand for a cell each: the first of it, which is that of all slices where there are several.
std::vector<std::size_t> cell_columns(const Table& table);

}  // namespace zoo::report
