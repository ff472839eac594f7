#pragma once

#include <cstdint>

#include "zoo/core/batch.h"
#include "zoo/nn/adamw.h"
#include "zoo/nn/model.h"
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

  /// Sums over the labelled positions of a batch, without dropout.
  struct Scores {
    double loss = 0;
    std::int64_t correct = 0;
    std::int64_t labelled = 0;
  };
  Scores evaluate(const Batch& batch) const;

  /// Bytes of the live state of all blocks after one sequence of `tokens`.
  std::int64_t state_bytes(const Batch& batch) const;

  Model& model() { return model_; }
  AdamW& optimizer() { return optimizer_; }

 private:
  const RunSettings* settings_;
  Model model_;
  AdamW optimizer_;
  Tensors variables_;
};

/// How many sequences of a batch are worked on at a time. A batch is cut so that a block's activations stay in the
/// cache from one op to the next; the cut depends on sizes alone, never on the number of threads.
std::int64_t part_size(std::int64_t batch, std::int64_t seq_len, std::int64_t d_model);

}  // namespace zoo
