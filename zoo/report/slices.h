#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/io/store.h"
#include "zoo/report/summary.h"

namespace zoo::report {

/// The mean of a figure over all slices of a split of a run, each weighted by its number of examples in the run's cell
/// (equally where the cell does not say). NaN when the run has no slice of that split, or the figure is NaN on one.
double mean_over_slices(const Run& run, std::string_view split,
                        const std::function<double(const SliceResult&)>& figure);

/// The accuracy with which a slice counts: what was evaluated, 0 for NaN.
double scored_accuracy(const SliceResult& slice);

/// The mean of the scored accuracy. A run without slices of that split has 0 when it diverged, else NaN.
double split_accuracy(const Run& run, std::string_view split);

/// The columns of one cell that is tested on several slices, and how those differ.
struct SliceFamily {
  std::vector<std::size_t> columns;  ///< one a slice, in the order of the table; never that of all together
  std::vector<std::string> options;  ///< names of the options that are not the same in all, all of them numbers
};

/// One for each cell with several slices that differ in numbers only.
std::vector<SliceFamily> slice_families(const Table& table);

/// The option by which a family is a line: the only one that differs, or seq_len where no two slices have the same.
/// "" when there is none.
std::string line_option(const Table& table, const SliceFamily& family);

/// Whether a family is a grid of two options: it is no line, exactly two differ, and most combinations are there.
bool is_grid(const Table& table, const SliceFamily& family);

/// The values of an option among a family's slices, ascending, each once.
std::vector<double> option_values(const Table& table, const SliceFamily& family, const std::string& option);

/// The values of an option that the runs of a cell were trained on: of the cell's parts of training, or else the
/// setting's. Empty where neither says.
std::vector<double> trained_values(const Table& table, const nlohmann::json& cell, const std::string& option);

}  // namespace zoo::report
