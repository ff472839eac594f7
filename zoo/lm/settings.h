#pragma once

#include <cstdint>

#include "zoo/core/precision.h"
#include "zoo/io/store.h"
#include "zoo/nn/adamw.h"
#include "zoo/nn/model.h"

namespace zoo {

/// A language model's record (RunSpec) as the trainer reads it: validated and typed.
///
/// subject  {"layer": "ttt_linear", "layer_options": {"ttt_linear": {every option}}}
/// axes     {"d_model": 768, "lr": 0.003, "seed": 0}
/// setting  {"task": "lm", "corpus": {"hash": "...", "tokenizer": "bpe:32000", "vocab_size": 32000}, "context": 2048,
///          "batch_tokens": 524288, "steps": 4800, "validation_tokens": 262144, "evaluate_every": 100, "blocks": 12,
///          "backbone": "transformer", "backbone_options": {}, "feed_forward": "swiglu", "feed_forward_options": {},
///          "tied_head": true, "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8,
///          "weight_decay": 0.1}, "schedule": {"name": "cosine", "by": "step", "warmup": 480, "final": 1e-5},
///          "clip": 1, "precision": "f32", or "tf32" or "bf16" on the device gpu}
///
/// What changes roundings alone (threads, processes, the micro-batch, recomputation) is no setting: it is kept beside
/// the run and shown.
struct LmSettings {
  ModelSpec model;
  AdamWOptions optimizer;
  Precision precision = Precision::float32;  ///< of products; others than float32 are the device gpu's
  double learning_rate = 0;
  double final_learning_rate = 0;
  std::int64_t warmup_steps = 0;
  std::int64_t steps = 0;
  std::int64_t context = 0;            ///< T
  std::int64_t batch_sequences = 0;    ///< of an optimizer step: batch_tokens / T
  std::int64_t validation_tokens = 0;  ///< how many of the validation split are read at an evaluation, at most
  std::int64_t evaluate_every = 0;     ///< steps
  std::uint64_t seed = 0;              ///< of the parameters, the data's order and dropout
  std::string corpus_hash;

  /// Of optimizer step `step`, from 0: a linear warm-up, then half a cosine (by step) to the final rate.
  double learning_rate_at(std::int64_t step) const;
};

/// Throws UsageError for a record that is incomplete, has unknown keys, or cannot be met.
LmSettings read_lm_settings(const RunSpec& spec);

}  // namespace zoo
