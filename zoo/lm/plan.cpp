#include "zoo/lm/plan.h"

#include <algorithm>

#include "zoo/core/error.h"
#include "zoo/lm/presets.h"
#include "zoo/nn/model.h"
#include "zoo/sweep/subjects.h"

namespace zoo {

namespace {

using nlohmann::json;

// What the preset gives to each layer of that name, under what the user gives.
std::map<std::string, json> layer_options(const std::string& layer, const LmChoices& choices, std::int64_t heads) {
  std::map<std::string, json> options;
  for (const std::string& part : layer_parts(layer)) {
    const OptionSchema& schema = layer_registry().get(part).options;
    json& given = options[part] = json::object();
    if (schema.find("heads") != nullptr) given["heads"] = heads;
    const OptionSpec* positions = schema.find("positions");
    if (positions != nullptr && positions->default_value == json("none") &&
        std::ranges::find(positions->choices, "rope") != positions->choices.end()) {
      given["positions"] = "rope";
    }
  }
  for (const auto& [key, chosen] : choices.layer_options) options[key].update(chosen);
  return options;
}

json all_options(const OptionSchema& schema, const json& given, const std::string& owner) {
  return Options(schema, given, owner).json();
}

}  // namespace

CorpusIdentity identity_of(const Corpus& corpus) {
  return {corpus.hash(), corpus.tokenizer().name(), corpus.tokenizer().vocab_size()};
}

RunSpec plan_lm(const std::string& layer, const LmChoices& choices, const CorpusIdentity& corpus) {
  const LmPreset& preset = find_lm_preset(choices.preset);
  const std::int64_t blocks = choices.blocks.value_or(preset.blocks);
  const std::int64_t context = choices.context.value_or(preset.context);
  const std::int64_t steps = choices.steps.value_or(preset.steps);
  SweepSettings sweep;
  sweep.blocks = blocks;
  sweep.layer_options = layer_options(layer, choices, choices.heads.value_or(preset.heads));
  const auto subjects = subjects_of(layer, sweep);
  if (subjects.size() != 1) {
    throw UsageError("layer {} is given lists of options, which make {} runs; give one value each", layer,
                     subjects.size());
  }
  const BackboneEntry& backbone = backbone_registry().get(choices.backbone);
  json feed_forward_options = json::object();
  if (choices.feed_forward != "none") {
    const LayerEntry& entry = feed_forward_registry().get(choices.feed_forward);
    feed_forward_options =
        all_options(entry.options, choices.feed_forward_options, "feed-forward " + choices.feed_forward);
  } else if (!choices.feed_forward_options.empty()) {
    throw UsageError("options were given for the feed-forward, but there is none");
  }
  RunSpec spec;
  spec.subject = subjects.front();
  const double learning_rate = choices.learning_rate.value_or(preset.learning_rate);
  spec.axes = {{"d_model", choices.d_model.value_or(preset.d_model)}, {"lr", learning_rate}, {"seed", choices.seed}};
  const std::int64_t tenth = std::max<std::int64_t>(steps / 10, 1);
  // The preset's batch, in whole sequences of another context too.
  const std::int64_t whole =
      std::max<std::int64_t>(preset.batch_tokens / std::max<std::int64_t>(context, 1), 1) * context;
  spec.setting = {
      {"task", "lm"},
      {"corpus", {{"hash", corpus.hash}, {"tokenizer", corpus.tokenizer}, {"vocab_size", corpus.vocab_size}}},
      {"context", context},
      {"batch_tokens", choices.batch_tokens.value_or(whole)},
      {"steps", steps},
      {"validation_tokens", choices.validation_tokens.value_or(32 * context)},
      {"evaluate_every", choices.evaluate_every.value_or(tenth)},
      {"blocks", blocks},
      {"backbone", choices.backbone},
      {"backbone_options", all_options(backbone.options, choices.backbone_options, "backbone " + choices.backbone)},
      {"feed_forward", choices.feed_forward},
      {"feed_forward_options", feed_forward_options},
      {"tied_head", choices.tied_head},
      {"optimizer",
       {{"name", "adamw"},
        {"beta1", choices.beta1},
        {"beta2", choices.beta2},
        {"epsilon", 1e-8},
        {"weight_decay", choices.weight_decay}}},
      {"schedule",
       {{"name", "cosine"},
        {"by", "step"},
        {"warmup", choices.warmup.value_or(tenth)},
        {"final", std::min(choices.final_learning_rate, learning_rate)}}},
      {"clip", choices.clip ? json(*choices.clip) : json()},
      {"precision", recorded_precision(choices.precision)}};
  return spec;
}

std::vector<std::string> lm_differences(const RunSpec& a, const RunSpec& b) {
  std::vector<std::string> differences;
  const auto compare = [&](const std::string& where, const json& one, const json& other, const auto& self) -> void {
    if (one.is_object() && other.is_object()) {
      json all = one;
      all.update(other);
      for (const auto& [key, value] : all.items()) {
        self(where + "." + key, one.value(key, json()), other.value(key, json()), self);
      }
    } else if (one != other) {
      differences.push_back(where + ": " + one.dump() + " and " + other.dump());
    }
  };
  compare("setting", a.setting, b.setting, compare);
  compare("axes", a.axes, b.axes, compare);
  return differences;
}

}  // namespace zoo
