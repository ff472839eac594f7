#pragma once

#include <span>
#include <string>
#include <vector>

#include "zoo/io/store.h"
#include "zoo/report/plots.h"
#include "zoo/report/summary.h"

namespace zoo::report {

/// What a model costs. `seconds` and `flops` are those of its training, `state` the bytes that it carries.
enum class Cost { seconds, flops, state };

/// A row of a table by its cost and its accuracy.
struct CostPoint {
  std::size_t row = 0;  ///< index into Table::rows
  double cost = 0;
  Estimate accuracy;
};

/// The rows that have a cost and an accuracy in every cell: means over the cells (their columns of all slices), and for
/// the cost over the runs of the chosen learning rate. The accuracy has an interval only where there is one cell.
std::vector<CostPoint> cost_points(const Table& table, std::span<const Run> runs, Cost cost);

/// The Pareto front, cheapest first: the points that no other matches in both and beats in one, cheaper or better.
std::vector<CostPoint> pareto_front(std::span<const CostPoint> points);

/// Accuracy against each cost, a panel each: a point a row, the front as a staircase; under each panel the front in
/// words.
Figure cost_figure(const Table& table, std::span<const Run> runs, const Styles& styles);

}  // namespace zoo::report
