#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "zoo/core/task.h"

namespace zoo {

/// Sums over labels.
struct Score {
  double loss = 0;
  std::int64_t correct = 0;
  std::int64_t labelled = 0;

  void add(double label_loss, bool right);
  Score& operator+=(const Score& more);
  /// correct / labelled, 0 where nothing is labelled.
  double accuracy() const;
  /// loss / labelled, 0 where nothing is labelled.
  double mean_loss() const;
};

/// A model's answers, added up in several ways.
struct Scores {
  Score all;
  std::vector<Score> groups;              ///< by Task::groups(), empty for a task without
  std::map<std::int32_t, Score> classes;  ///< by true label
  std::int64_t sequences = 0;
  std::int64_t sequences_correct = 0;  ///< of which every label was right

  Scores& operator+=(const Scores& more);
};

/// What is reported of a slice besides accuracy and loss:
///   class_accuracy     mean over classes of the accuracy on labels of that class (not for regression)
///   sequence_accuracy  sequences of which every label was right, where sequences have several labels
///   groups             for a task with groups() [{"NAME": value, "accuracy", "loss", "labelled"}, ...], those that
///   have
///                      labels
nlohmann::json metrics_of(const Task& task, const Scores& scores);

}  // namespace zoo
