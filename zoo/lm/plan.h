#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "zoo/core/precision.h"
#include "zoo/io/store.h"
#include "zoo/text/corpus.h"

namespace zoo {

/// What a user chooses of a language model and its training, the layer apart: what is not chosen comes from the preset.
struct LmChoices {
  std::string preset = "small";
  std::optional<std::int64_t> blocks = {};
  std::optional<std::int64_t> d_model = {};
  std::optional<std::int64_t> heads = {};  ///< of layers that have an option of that name
  std::optional<std::int64_t> context = {};
  std::optional<std::int64_t> batch_tokens = {};
  std::optional<std::int64_t> steps = {};
  std::optional<std::int64_t> warmup = {};             ///< steps; a tenth of all
  std::optional<std::int64_t> validation_tokens = {};  ///< 32 sequences
  std::optional<std::int64_t> evaluate_every = {};     ///< steps; a tenth of all
  std::optional<double> learning_rate = {};
  double final_learning_rate = 1e-5;
  double weight_decay = 0.1;
  double beta1 = 0.9;
  double beta2 = 0.95;
  std::optional<double> clip = 1.0;
  std::uint64_t seed = 0;
  std::string backbone = "transformer";
  nlohmann::json backbone_options = nlohmann::json::object();
  std::string feed_forward = "swiglu";
  nlohmann::json feed_forward_options = nlohmann::json::object();
  bool tied_head = true;
  Precision precision = Precision::float32;
  /// By layer, or by part of a hybrid, as text: see read_layer_options().
  std::map<std::string, nlohmann::json> layer_options = {};
};

/// What a record says of a corpus.
struct CorpusIdentity {
  std::string hash;
  std::string tokenizer;
  std::int64_t vocab_size = 0;
};
CorpusIdentity identity_of(const Corpus& corpus);

/// The record of training this layer on this corpus. Layers with an option `heads` get the preset's, and attention that
/// knows no positions turns its queries and keys by them (positions=rope), unless the user chose otherwise. Throws
/// UsageError for unknown names and wrong options.
RunSpec plan_lm(const std::string& layer, const LmChoices& choices, const CorpusIdentity& corpus);

/// What differs between two records, the layer and its options apart: "setting.steps: 100 and 200"; empty when the runs
/// may stand in one table.
std::vector<std::string> lm_differences(const RunSpec& a, const RunSpec& b);

}  // namespace zoo
