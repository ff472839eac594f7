#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zoo {

/// What identifies a run. `subject`: the layer, its options, what it asks of the backbone. `axes`: what the sweep
/// varies. `setting`: all else. Two runs are compared in one table only when their settings are equal.
///
/// subject  {"layer": "attention", "layer_options": {"attention": {every option}}}, and "d_model" where the width was
///          chosen to match other layers, which is then no axis
/// axes     {"d_model": 64, "lr": 1e-3, "seed": 0, "cell": {"batch_size": 512, "train": [part, ...], "test": [part,
/// ...]}}
///          a part is {"seq_len": 64, "kv_pairs": 4, "examples": 100000}: the task's options that make the cell, and
///          how many examples; a mixture has several, whose batches never mix and run in this order each epoch.
///          Validation has the parts of test, from the validation split, unless the cell has a list of its own,
///          "validation": [part, ...].
/// setting  {"task": "mqar", "task_options": {the task's other options}, "epochs": 64, "stop_accuracy": 0.99 (null:
/// never),
///          "backbone": "recall", "backbone_options": {}, "feed_forward": "none", "feed_forward_options": {}, "blocks":
///          2, "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.1},
///          "schedule": {"name": "cosine", "by": "epoch", "warmup": 0, "final": 0}, "clip": null, "precision": "f32"}
///          and, only where they differ from this, "fresh_data": false (each epoch has examples of its own),
///          "tied_head": true, and "search": {"name": "halving", "rungs": [4, 8]} (see Stages).
struct RunSpec {
  nlohmann::json subject;
  nlohmann::json axes;
  nlohmann::json setting;

  /// The first 12 hexadecimal digits of the XXH3 128-bit hash of the canonical JSON of all three: keys sorted, no white
  /// space, whole numbers without a fraction.
  std::string id() const;
};

/// `diverged` (the loss became NaN or infinite) is a result; `failed` and `interrupted` runs are run again.
enum class RunStatus { running, done, diverged, failed, interrupted };
std::string_view status_name(RunStatus status);

/// A run's figures on one slice of one split.
struct SliceResult {
  std::string split;             ///< "validation" or "test"
  nlohmann::json slice;          ///< {"seq_len": 64, "kv_pairs": 8}
  double accuracy = 0;           ///< correct / labelled positions
  double loss = 0;               ///< mean over labelled positions: cross-entropy in nats, or the squared error
  std::int64_t state_bytes = 0;  ///< measured from the live state after seq_len tokens, batch 1, all blocks
  std::int64_t labelled = 0;     ///< labelled positions
  /// What else was measured, {} or {"class_accuracy": 0.5, "sequence_accuracy": 0.2, "groups": [{"hops": 1, "accuracy":
  /// 1, "loss": 0, "labelled": 10}, ...]}: see metrics_of().
  nlohmann::json metrics = nlohmann::json::object();
};

/// A point of the learning curve, at the end of an epoch (counted from 1).
struct EpochResult {
  std::int64_t epoch = 0;
  double train_loss = 0;
  double validation_loss = 0;
  double validation_accuracy = 0;
  double learning_rate = 0;
  double seconds = 0;  ///< wall time of training since the run began, resumed parts included
};

/// What a store knows of a run.
struct Run {
  std::string id;
  RunSpec spec;
  RunStatus status = RunStatus::running;
  std::string message;         ///< the reason of a failure; the step of a divergence
  nlohmann::json environment;  ///< code version, instruction set, threads, library versions, command: shown, not hashed
  nlohmann::json summary;      ///< {"parameters", "flops", "epochs", "train_seconds"} once it has ended, and "stopped"
                               ///< where something ended it early
  std::string started;         ///< UTC, ISO 8601
  std::string finished;        ///< UTC, ISO 8601; empty while running
  std::vector<EpochResult> epochs;
  std::vector<SliceResult> slices;
};

/// Runs and their metrics in one SQLite file. One process writes: a sweep's parent, to which its workers report.
///
/// What was recorded survives a killed process and a power cut. The tables `runs`, `epochs` and `slices` and the view
/// `results` are meant to be queried by people as well: `sqlite3 runs.db 'select * from results'`.
/// Members throw Error, naming the file and what to do, when the disk is full, fails, or another process holds the
/// store for longer than five seconds; the record that was being written is then not in the store, all others are.
class Store {
 public:
  enum class Mode { read, write };

  /// Opens or (write) creates. Reading works while another process writes, and on a file or folder that may not be
  /// written. Throws UsageError when the file is not an SQLite database of ours, is from a newer version of zoo, or
  /// cannot be opened; the message names the file and what to do.
  explicit Store(const std::string& path, Mode mode = Mode::write);
  ~Store();
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;

  /// Records that a run starts, or starts again: its epochs after `keep_epochs` and its slices are dropped, and the
  /// time of its first start stays when epochs are kept.
  void begin(const RunSpec& spec, const nlohmann::json& environment, std::int64_t keep_epochs = 0);
  /// Records the end of an epoch of a run that has begun; an epoch of the same number is replaced.
  void add_epoch(const std::string& id, const EpochResult& epoch);
  /// Records the end with its results, in one transaction.
  void finish(const std::string& id, RunStatus status, std::string_view message, const nlohmann::json& summary,
              const std::vector<SliceResult>& slices);

  std::optional<Run> find(const std::string& id) const;
  /// All runs in the order in which they first started. Rows are read with their epochs and slices.
  std::vector<Run> runs() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace zoo
