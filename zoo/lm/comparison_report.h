#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "zoo/lm/comparison.h"

namespace zoo {

/// A comparison as a table for the terminal, at most `limit` columns wide (0: no limit).
std::string lm_table(std::span<const LmRow> rows, std::size_t limit);

/// Where write_lm_report put its files.
struct LmReportFiles {
  std::filesystem::path html;  ///< the table; loss against tokens, FLOPs and wall time; perplexity by position
  std::filesystem::path csv;   ///< a row a run: run_id, layer, layer_options, seed, perplexity, low, high, loss,
                               ///< recall_perplexity, other_perplexity, parameters, state_bytes, peak_bytes, flops,
                               ///< tokens, train_seconds, data_hash, status
  std::filesystem::path json;  ///< the rows, and of every run its record, summary, results and evaluations
};

/// Writes report.html, results.csv and results.json into a folder. `command` made the runs. Throws Error naming a file
/// that cannot be written; `warn` is told once when plots cannot be drawn.
LmReportFiles write_lm_report(std::span<const LmSubject> subjects, const std::string& title,
                              const std::filesystem::path& folder, const std::string& command,
                              const std::function<void(const std::string&)>& warn);

}  // namespace zoo
