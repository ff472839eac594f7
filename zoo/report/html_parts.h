#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "zoo/io/store.h"
#include "zoo/report/plots.h"
#include "zoo/report/summary.h"

/// The tables of report.html, each an element that scrolls by itself where the window is narrow.
namespace zoo::report {

/// The style sheet of the page.
extern const char* const page_style;

/// Accuracies, state bytes, parameters and chosen learning rates of a table.
std::string html_results(const Table& table, const Styles& styles);
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
