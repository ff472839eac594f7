#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "zoo/io/store.h"
#include "zoo/lm/log.h"

namespace zoo {

/// A run of a language model with its log.
struct LmRunRecord {
  Run run;
  std::vector<LmStep> steps;
  std::vector<LmEvaluation> evaluations;
};

/// Reads the log that lies in a run's folder beside what the store says of it.
LmRunRecord read_lm_run(const Run& run, const std::filesystem::path& folder);

/// A subject of a comparison: a layer with its options, over its seeds.
struct LmSubject {
  std::string label;
  std::string published = {};     ///< a figure to stand beside ours, or empty
  std::vector<LmRunRecord> runs;  ///< one for each seed
};

/// Sorts runs into subjects, those of a layer with the same options being its seeds, and the subjects into groups that
/// may stand in one table, in the order of their first runs. Labels are the layers' names, with a number where that is
/// taken in the group.
std::vector<std::vector<LmSubject>> group_comparable(std::vector<LmRunRecord> records);

/// A mean with its 95% interval: over seeds where there are several, else over the sequences of the evaluation.
struct LmFigure {
  double value = 0;
  std::optional<double> low = {};
  std::optional<double> high = {};
};

/// What a comparison says of one subject.
struct LmRow {
  std::string label;
  std::string published;
  std::string status;  ///< "" of a subject whose runs all ended well
  std::int64_t parameters = 0;
  std::int64_t state_bytes = 0;
  std::int64_t peak_bytes = 0;
  double flops = 0;
  double seconds = 0;
  double tokens_per_second = 0;  ///< of training
  std::optional<LmFigure> perplexity = {};
  std::optional<double> recall_perplexity = {};
  std::optional<double> other_perplexity = {};
};

/// Throws UsageError, saying what differs, unless all runs have equal settings (the layer and its options apart; where
/// `backbones` is set the backbone too) and those of one seed have seen the same data, by its hash.
void check_comparable(std::span<const LmSubject> subjects, bool backbones = false);

std::vector<LmRow> compare_lm(std::span<const LmSubject> subjects);

}  // namespace zoo
