#include "zoo/report/format.h"
#include "zoo/report/html_elements.h"
#include "zoo/report/html_parts.h"
#include "zoo/report/measures.h"

namespace zoo::report {

namespace {

std::string accuracy_text(const Estimate& estimate) {
  return estimate.count > 0 ? format_accuracy(estimate) : "–";
}

}  // namespace

std::string html_measures(std::span<const Run> runs, const Table& table) {
  std::vector<Line> lines;
  bool of_classes = false;
  bool of_sequences = false;
  for (const Row& row : table.rows) {
    const std::string& label = table.subjects[row.subject].label;
    for (std::size_t column = 0; column < table.columns.size(); ++column) {
      const Result& result = row.results[column];
      if (!result.has_figures()) continue;
      const Measures measures = measure(runs, table.columns[column], result);
      of_classes = of_classes || measures.class_accuracy.count > 0;
      of_sequences = of_sequences || measures.sequence_accuracy.count > 0;
      lines.push_back({{escape_html(label), escape_html(row.width), escape_html(table.columns[column].label),
                        accuracy_text(result.accuracy), accuracy_text(measures.class_accuracy),
                        accuracy_text(measures.sequence_accuracy), format_loss(measures.loss)},
                       label});
    }
  }
  if (lines.empty()) return "";
  std::vector<std::string> names = {"Layer", "d_model", "Slice", "Accuracy"};
  std::string text = "The same results, by other measures of the test split.";
  if (of_classes) {
    names.emplace_back("Class accuracy");
    text += " Class accuracy: the mean over classes of the accuracy on the labels of each.";
  }
  if (of_sequences) {
    names.emplace_back("Sequence accuracy");
    text += " Sequence accuracy: the share of sequences of which every label was right.";
  }
  names.emplace_back(table.regression ? "Mean squared error" : "Loss (nats)");
  if (table.regression) text += " " + tolerance_sentence();
  for (Line& line : lines) {
    if (!of_sequences) line.cells.erase(line.cells.begin() + 5);
    if (!of_classes) line.cells.erase(line.cells.begin() + 4);
  }
  return details(
      table.regression ? "Mean squared errors" : "Other measures",
      scrolling_table("Other measures", "measures", table_caption(text) + table_head(names) + table_body(lines)));
}

}  // namespace zoo::report
