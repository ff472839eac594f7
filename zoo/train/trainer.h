#pragma once

#include <cstdint>

#include "zoo/core/batch.h"
#include "zoo/nn/adamw.h"
#include "zoo/nn/model.h"
#include "zoo/train/part.h"
#include "zoo/train/scores.h"
#include "zoo/train/settings.h"

namespace zoo {

/// A model with its optimizer: takes training steps and evaluates.
class Trainer {
 public:
  /// Draws the model under the settings' seed. `settings` must outlive the trainer.
  explicit Trainer(const RunSettings& settings);

  /// One optimizer step on a batch, the step-th of the run (from 0). Returns the mean loss over labelled positions
  /// before the update; when it is not finite nothing is updated. In the steady state (batches of one shape) it takes
  /// no memory from the system.
  double step(const Batch& batch, std::int64_t step);

  /// The model's answers to a batch, without dropout. Sequences longer than `longest_chunk` are read a chunk at a time
  /// with carried state, so that memory does not grow with their length unless a layer's state does.
  Scores evaluate(const Batch& batch) const;

  /// Bytes of the live state of all blocks after the first sequence of a batch.
  std::int64_t state_bytes(const Batch& batch) const;

  static constexpr std::int64_t longest_chunk = 4096;

  Model& model() { return model_; }
  AdamW& optimizer() { return optimizer_; }

 private:
  const RunSettings* settings_;
  Model model_;
  AdamW optimizer_;
  Tensors variables_;
};

}  // namespace zoo
