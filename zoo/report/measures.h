#pragma once

#include <span>
#include <string>
#include <vector>

#include "zoo/io/store.h"
#include "zoo/report/statistics.h"
#include "zoo/report/summary.h"

namespace zoo::report {

/// The accuracy on labels of one group, such as those whose answer lies 4 tokens back.
struct GroupScore {
  double value = 0;
  Estimate accuracy;  ///< over seeds
};

/// What the runs behind a result measured on the test split besides accuracy, over seeds (see metrics_of() in
/// zoo/train/scores.h). Estimates of count 0 where nothing was measured or nothing of it is finite.
struct Measures {
  Estimate loss;  ///< nats, or the mean squared error where Table::regression
  Estimate class_accuracy;
  Estimate sequence_accuracy;
  std::string group_name;          ///< "distance"; on one line; empty without groups
  std::vector<GroupScore> groups;  ///< by value; of several slices together, weighted by their labels
};

/// The measures of a result, on the slice of its column.
Measures measure(std::span<const Run> runs, const Column& column, const Result& result);

/// Whether a table's task asks for numbers: its loss is then the mean squared error, and an answer counts as right
/// within regression_tolerance (zoo/nn/head.h). False for a task that is not registered or cannot be made here.
bool is_regression(std::span<const Run> runs, const Table& table);

/// What accuracy means there: "Accuracy is the share of answers within 0.04 of the target."
std::string tolerance_sentence();

}  // namespace zoo::report
