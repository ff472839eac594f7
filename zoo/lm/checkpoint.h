#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "zoo/io/store.h"
#include "zoo/lm/trainer.h"
#include "zoo/nn/model.h"
#include "zoo/text/tokenizer.h"

namespace zoo {

/// How far the training of a language model is, beside what its trainer holds.
struct LmPosition {
  std::int64_t step = 0;        ///< optimizer steps done
  double seconds = 0;           ///< of training so far
  double flops = 0;             ///< of training so far
  std::uint64_t data_hash = 0;  ///< of all sequences so far: see hash_sequence()
};

/// A model as JSON, every option included, and back. Throws UsageError for what is missing or mistyped.
nlohmann::json model_json(const ModelSpec& spec);
ModelSpec model_from_json(const nlohmann::json& object);

/// The checkpoints of a run are folders "step-00000100" in its folder `checkpoints`. Each has model.safetensors (the
/// parameters by name), optimizer.safetensors (the moments), state.json (the model's shape, the run's record, the
/// position) and the tokenizer's files. A folder appears whole or not at all.
///
/// Writes one and removes the oldest, so that `keep` stay. Throws Error when the disk is full: those before it stay.
void write_lm_checkpoint(const std::filesystem::path& folder, const RunSpec& run, const ModelSpec& model,
                         LmTrainer& trainer, const Tokenizer& tokenizer, const LmPosition& position, int keep);

/// The checkpoints in a folder, newest first.
std::vector<std::filesystem::path> list_lm_checkpoints(const std::filesystem::path& folder);

/// Sets the trainer from a checkpoint of the run `run_id`. Throws UsageError, naming the file, for one that is damaged,
/// from a newer version, or of another run; the trainer is then as it was.
LmPosition read_lm_checkpoint(const std::filesystem::path& checkpoint, const std::string& run_id, LmTrainer& trainer);

/// A model that was trained, for whoever uses it.
struct LoadedLm {
  ModelSpec spec;
  Model model;
  std::unique_ptr<Tokenizer> tokenizer;  ///< nullptr when the folder has none
  std::string tokenizer_digest = {};     ///< of its files, "" when there are none: what tells two tokenizers apart
};

/// Loads a checkpoint, the newest one of a run's folder, or a public one (zoo/lm/pretrained.h). Throws UsageError,
/// naming the folder or its file, for one that is not there or cannot be used.
LoadedLm load_lm(const std::filesystem::path& folder, DType dtype = DType::f32);

}  // namespace zoo
