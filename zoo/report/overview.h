#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "zoo/report/summary.h"

namespace zoo::report {

/// Where a figure stands among the tables of a summary.
struct Place {
  std::size_t table = 0;
  std::size_t row = 0;
  std::size_t column = 0;
};

/// One layer on one task.
struct OverviewCell {
  double accuracy = 0;        ///< test accuracy, the mean over the task's cells that have figures; NaN where none has
  std::vector<Place> places;  ///< the results that it is the mean of, one a cell
  bool tried = false;         ///< there is a run, whatever became of it
  bool complete = true;       ///< every cell of the task has figures and no run of them is missing
  int diverged = 0;           ///< seeds
};

/// A task with its options, and all cells of it that any run has.
struct OverviewTask {
  std::string label;  ///< the task's name, with the options that tell it from others of that name
  nlohmann::json task;
  nlohmann::json options;
  std::vector<nlohmann::json> cells;
  bool regression = false;
};

/// Every layer on every task, at its best: for each cell of a task the width, the layer's options and the setting with
/// the best validation accuracy are chosen (those with all their seeds first; of equals, the lower validation loss).
/// The test split has no part in the choice.
struct Overview {
  std::vector<OverviewTask> tasks;               ///< in the order in which they were first run
  std::vector<std::string> layers;               ///< names, likewise
  std::vector<std::vector<OverviewCell>> cells;  ///< by layer, then by task
};

Overview make_overview(const Summary& summary);

/// The widths behind a cell: "64", or "64, 128" where its places differ.
std::string overview_widths(const Summary& summary, const OverviewCell& cell);

}  // namespace zoo::report
