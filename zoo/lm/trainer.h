#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "zoo/core/collective.h"
#include "zoo/lm/gradient_sum.h"
#include "zoo/lm/settings.h"
#include "zoo/nn/adamw.h"
#include "zoo/nn/model.h"

namespace zoo {

/// What does not change the result but for roundings.
struct LmExecution {
  std::int64_t micro_batch = 1;  ///< sequences in one forward and backward pass
  bool recompute = false;        ///< keep only what enters each block, and compute the block again in the backward pass
};

/// A language model with its optimizer.
class LmTrainer {
 public:
  /// Draws the model under the settings' seed. `settings` and `ranks`, the processes that train it together, each on a
  /// part of every batch, must outlive the trainer.
  LmTrainer(const LmSettings& settings, const LmExecution& execution, Collective& ranks);

  struct StepResult {
    bool ended = true;                         ///< false: `go_on` said no, and nothing was changed
    double loss = 0;                           ///< mean over the whole batch's tokens before the update, nats
    std::optional<double> gradient_norm = {};  ///< before clipping; nothing when the settings do not clip
  };

  /// One optimizer step, number `step` of the run (from 0), on this rank's sequences of the batch: tokens [n (T+1)],
  /// the first of them number `first` of the batch. When the loss is not finite nothing is updated, on any rank.
  /// A step of half a million tokens can take an hour: `go_on` is asked before each micro-batch, with the sequences
  /// done.
  StepResult step(std::span<const std::int32_t> tokens, std::int64_t first, std::int64_t step,
                  const std::function<bool(std::int64_t done)>& go_on = {});

  Model& model() { return model_; }
  const Model& model() const { return model_; }
  AdamW& optimizer() { return optimizer_; }

 private:
  const LmSettings* settings_;
  LmExecution execution_;
  Collective* ranks_;
  GradientSum sum_gradients_;
  Model model_;
  AdamW optimizer_;
  Tensors variables_;
};

}  // namespace zoo
