#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "zoo/io/store.h"
#include "zoo/report/overview.h"
#include "zoo/report/plots.h"
#include "zoo/report/summary.h"

/// The tables of report.html, each an element that scrolls by itself where the window is narrow.
namespace zoo::report {

/// The style sheet of the page.
extern const char* const page_style;

/// Every layer on every task, coloured by accuracy, with links to the tables.
std::string html_overview(const Summary& summary, const Overview& overview);
/// Accuracies, state bytes, parameters and chosen learning rates of a table.
std::string html_results(std::span<const Run> runs, const Table& table, const Styles& styles);
/// Accuracy, class accuracy, sequence accuracy and loss of each result, for the reader to open; "" without results.
std::string html_measures(std::span<const Run> runs, const Table& table);
/// For each cell whose slices are a grid of two options (is_grid() in slices.h) a grid of accuracies for each row of
/// the table, coloured, under a title of this heading level; "" when there is none.
std::string html_grids(const Table& table, int heading);
/// Validation accuracies by learning rate, the choice marked; a sentence when there was nothing to choose.
std::string html_learning_rates(const Table& table);
/// The layers: description and source as registered, and the options that differ from their defaults.
std::string html_layers(const Table& table, const Styles& styles);
/// Runs that diverged, failed or were interrupted, with their reasons; "" when there are none.
std::string html_troubles(std::span<const Run> runs, const Table& table);
/// The settings that differ between tables, a column a table.
std::string html_differences(const Summary& summary);
/// Names and values, a row each.
std::string html_pairs(const std::string& caption, const std::vector<std::pair<std::string, std::string>>& pairs);
/// The environments in which the runs were made, a column each.
std::string html_environments(std::span<const Run> runs);

}  // namespace zoo::report
