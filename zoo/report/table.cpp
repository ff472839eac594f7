#include "zoo/report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "zoo/report/format.h"
#include "zoo/report/measures.h"
#include "zoo/report/text_table.h"

namespace zoo::report {

namespace {

using Cells = std::vector<std::vector<std::string>>;  // rows of columns; the first row is the head

constexpr std::size_t layer_width = 48;
constexpr std::size_t heads = 4;  // columns that name a row

// "64 KiB", or "64 KiB-1 MiB" where it depends on the column.
template <typename Format>
std::string range(const Row& row, std::optional<std::int64_t> Result::*figure, Format&& format) {
  std::optional<std::int64_t> low, high;
  for (const Result& result : row.results) {
    if (!(result.*figure)) continue;
    low = std::min(low.value_or(*(result.*figure)), *(result.*figure));
    high = std::max(high.value_or(*(result.*figure)), *(result.*figure));
  }
  if (!low) return "–";
  const std::string least = format(static_cast<double>(*low));
  const std::string most = format(static_cast<double>(*high));
  return least == most ? least : least + " – " + most;
}

// Which tables' accuracy is not what one expects.
std::string regression_note(const Summary& summary) {
  std::string settings;
  for (std::size_t i = 0; i < summary.tables.size(); ++i) {
    if (summary.tables[i].regression) settings += fmt::format("{}{}", settings.empty() ? "" : ", ", i + 1);
  }
  return (summary.tables.size() > 1 ? "In setting " + settings + ": " : "") + tolerance_sentence() +
         " The mean squared error is in the files, as the loss.\n";
}

std::string result_text(const Result& result) {
  return result.has_figures() ? format_accuracy(result.accuracy) + result.marks() : "–" + result.marks();
}

Cells table_cells(const Table& table) {
  Cells cells = {{"layer", "d_model", "parameters", "state"}};
  for (const Column& column : table.columns) cells[0].push_back(column.label);
  for (const Row& row : table.rows) {
    const Subject& subject = table.subjects[row.subject];
    const std::string name = subject.options.empty() ? subject.layer : subject.layer + " (" + subject.options + ")";
    cells.push_back({shortened(display_width(name) <= layer_width ? name : subject.label, layer_width), row.width,
                     range(row, &Result::parameters, format_count), range(row, &Result::state_bytes, format_bytes)});
    for (const Result& result : row.results) cells.back().push_back(result_text(result));
  }
  return cells;
}

}  // namespace

std::string format_table(const Summary& summary, std::size_t width) {
  if (summary.tables.empty()) return "There are no runs yet.\n";
  std::string text;
  bool diverged = false;
  bool incomplete = false;
  for (const Table& table : summary.tables) {
    if (summary.tables.size() > 1) {
      const auto number = static_cast<std::size_t>(&table - summary.tables.data());
      text += fmt::format("{}Setting {} of {}:", number == 0 ? "" : "\n", number + 1, summary.tables.size());
      for (const Difference& difference : summary.differences) {
        text += fmt::format(" {} {}{}", difference.name, difference.values[number],
                            &difference == &summary.differences.back() ? "" : ",");
      }
      text += "\n\n";
    }
    text += text_table(table_cells(table), heads, width);
    for (const Row& row : table.rows) {
      for (const Result& result : row.results) {
        diverged = diverged || result.diverged > 0;
        incomplete = incomplete || !result.complete();
      }
    }
  }
  text += "\nTest accuracy";
  if (const std::string estimates = estimates_sentence(summary.tables); !estimates.empty()) text += ", " + estimates;
  text += "; learning rate chosen on the validation split.\n";
  if (std::ranges::any_of(summary.tables, &Table::regression)) text += regression_note(summary);
  if (diverged) text += "† the loss of a seed became NaN or infinite; it counts as it was evaluated, else as 0.\n";
  if (incomplete) text += "* not all runs of this cell are finished.\n";
  if (summary.tables.size() > 1) text += "Runs of different settings are not compared.\n";
  return text;
}

}  // namespace zoo::report
