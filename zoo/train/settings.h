#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "zoo/core/precision.h"
#include "zoo/core/task.h"
#include "zoo/io/store.h"
#include "zoo/nn/adamw.h"
#include "zoo/nn/model.h"

namespace zoo {

/// One kind of examples of a run: a task at one cell, and how many examples of it.
struct TaskPart {
  std::unique_ptr<Task> task;
  nlohmann::json cell;  ///< the options that make the cell, {"seq_len": 64, "kv_pairs": 4}
  std::uint64_t examples = 0;
};

/// A run's record (RunSpec) as the trainer reads it: validated and typed.
struct RunSettings {
  ModelSpec model;
  AdamWOptions optimizer;
  Precision precision = Precision::float32;  ///< of products; others than float32 are the device gpu's
  double learning_rate = 0;
  double final_learning_rate = 0;  ///< of the cosine
  bool constant_rate = false;      ///< no cosine
  bool schedule_by_step = false;   ///< otherwise the rate changes between epochs only
  std::int64_t warmup_steps = 0;
  std::uint64_t seed = 0;
  std::int64_t epochs = 0;
  std::int64_t batch_size = 0;
  bool fresh_data = false;  ///< each epoch has examples of its own
  std::optional<double> stop_accuracy;
  std::vector<TaskPart> train;
  std::vector<TaskPart> test;
  std::vector<TaskPart> validation;

  std::int64_t steps_per_epoch() const;
  /// The learning rate of optimizer step `step`, counted from 0 over the whole run.
  double learning_rate_at(std::int64_t step) const;
};

/// A record's "optimizer" and "clip". Throws UsageError for what is incomplete or unknown.
AdamWOptions read_optimizer(const nlohmann::json& optimizer, const nlohmann::json& clip);

/// Throws UsageError for a record that is incomplete, has unknown keys in its setting, or cannot be met.
RunSettings read_settings(const RunSpec& spec);

}  // namespace zoo
