#pragma once

#include <string>
#include <vector>

#include "zoo/report/summary.h"

namespace zoo::report {

/// What the figures of a table say, in sentences: who solves what, the widest gap at equal width with the state either
/// side carries, what a greater width changes, and how the state grows with the sequence. Every number and every name
/// comes from the table; the first sentence stands for itself. Empty when there are no figures.
std::vector<std::string> findings(const Table& table);

/// An accuracy from which on a cell counts as solved: the setting's stop_accuracy, or 0.99 where it has none.
double solved_accuracy(const Table& table);

}  // namespace zoo::report
