#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runners/lm/job.h"
#include "zoo/lm/comparison.h"

namespace zoo {

/// A subject to be trained, and where.
struct LmPlanned {
  std::string label;
  std::string published;       ///< see LmSubject
  std::string folder;          ///< of its runs within the comparison's
  std::vector<RunSpec> specs;  ///< one for each seed
};

/// Trains what is planned, one run after another, each in a folder of its own in `out` and recorded in out/runs.db;
/// shows the table and writes the report into `out`. A run that fails leaves its place empty, and the others are made.
/// Returns the exit code. `backbones`: see check_comparable().
int compare_planned(Collective& ranks, const std::vector<LmPlanned>& planned, const std::string& title,
                    const Corpus& corpus, const std::filesystem::path& out, const LmRunRequest& request,
                    const std::string& command, bool backbones);

/// Shows the table of subjects and writes their report.
void show_comparison(const std::vector<LmSubject>& subjects, const std::string& title, const std::filesystem::path& out,
                     const std::string& command);

/// Tables and reports of all language models among these runs, which may have several settings: in `out`, or where
/// there are more than one, in out/lm-1, out/lm-2 and so on.
void show_recorded(const std::vector<Run>& runs, const std::filesystem::path& out);

}  // namespace zoo
