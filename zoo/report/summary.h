#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "zoo/io/store.h"
#include "zoo/report/names.h"
#include "zoo/report/statistics.h"

namespace zoo::report {

/// A column of a table: one slice of the test split of runs that were trained on one cell. A cell with several slices
/// (a mixture) has a column more, of all slices together.
struct Column {
  nlohmann::json cell;   ///< the axis `cell` of its runs
  nlohmann::json slice;  ///< {"seq_len": 64, "kv_pairs": 8}; null for all slices together
  std::string label;     ///< "T 64, kv 8", with what tells the cell from others of that slice
};

/// One learning rate of a subject, width and cell, as judged on the validation split.
struct RateScore {
  double learning_rate = 0;
  Estimate accuracy;  ///< over seeds, on the validation split
  double loss = 0;    ///< mean over seeds, on the validation split; infinite where a run diverged without a figure
  int diverged = 0;   ///< seeds
  bool chosen = false;
};

/// What is known of one row on one column, at the chosen learning rate.
struct Result {
  Estimate accuracy;  ///< over seeds, on the test split
  double learning_rate = 0;
  std::optional<std::int64_t> state_bytes;  ///< measured, after the longest of the column's sequences
  std::optional<std::int64_t> parameters;
  int diverged = 0;               ///< seeds whose loss became NaN or infinite
  int missing = 0;                ///< seeds that should be there and are not
  bool unfinished = false;        ///< a run of another learning rate is missing, so the choice may change
  std::vector<std::size_t> runs;  ///< of the chosen learning rate, ended with a result, by index

  bool has_figures() const { return accuracy.count > 0; }
  bool complete() const { return missing == 0 && !unfinished; }
  /// What a table sets behind the figure, and its notes explain: "†" where a run diverged, "*" where one is missing.
  std::string marks() const { return std::string(diverged > 0 ? "†" : "") + (complete() ? "" : "*"); }
};

/// A row of a table.
struct Row {
  std::size_t subject = 0;                    ///< index into Table::subjects
  nlohmann::json axes;                        ///< all but lr, seed and cell: {"d_model": 64}
  double d_model = 0;                         ///< of the axes or the subject; 0 when neither says
  std::string width;                          ///< "64", with any other axes: "64, dropout=0.1"
  std::vector<Result> results;                ///< one a column
  std::vector<std::vector<RateScore>> rates;  ///< one list a column, ascending; the same for all columns of a cell
};

/// The runs of one setting: all that may be compared with each other.
struct Table {
  nlohmann::json setting;
  std::vector<Subject> subjects;  ///< in the order in which they were first run
  std::vector<Column> columns;
  std::vector<Row> rows;          ///< by subject, then by width
  std::vector<std::size_t> runs;  ///< every run of this setting, by index, whatever its status
  int seeds = 0;                  ///< the most that a result has
  bool regression = false;        ///< the answers are numbers: see is_regression()
};

/// All runs, a table for each setting. Runs whose settings differ never share a table.
struct Summary {
  std::vector<Table> tables;            ///< in the order in which their first run started
  std::vector<Difference> differences;  ///< between the settings, one value a table; empty for one table
};

/// Sorts runs into tables. For each row and cell the learning rate with the best mean accuracy over seeds on the
/// validation split is chosen (of equals, the one of lower validation loss, then the lower one); one whose seeds are
/// not all there is only chosen when none is complete. Figures are of the test split, means over seeds. A diverged run
/// counts with its accuracies as evaluated, and with 0 where it has none. The accuracy of a mixture is the mean over
/// its test examples.
Summary summarise(std::span<const Run> runs);

/// "mean and 95% interval over 3 seeds", "... over up to 3 seeds" where some result has fewer; "" where none has two.
std::string estimates_sentence(std::span<const Table> tables);

}  // namespace zoo::report
