#include "zoo/sweep/settings.h"

#include <algorithm>
#include <cmath>

#include "zoo/core/error.h"
#include "zoo/nn/model.h"
#include "zoo/sweep/merge.h"
#include "zoo/sweep/text.h"

namespace zoo {

namespace {

// The options given to a part of the model or to the task; those that came with an earlier choice of that part go.
nlohmann::json options_of(const Merged& merged, const std::string& chosen_by, const std::string& option_name) {
  nlohmann::json given = nlohmann::json::object();
  const auto at = merged.repeatable.find(option_name);
  if (at == merged.repeatable.end()) return given;
  for (const auto& [key, ranked] : at->second) {
    if (ranked.rank >= merged.rank(chosen_by)) given[key] = ranked.value;
  }
  return given;
}

// Whether the key of an option, a layer's name or with the number of a part ("base_conv#2"), is for one of the layers.
bool is_part_of(const std::string& key, const std::vector<std::string>& layers) {
  return std::ranges::any_of(layers, [&](const std::string& name) {
    const auto parts = split(name, '+');
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (key == parts[i] || key == numbered_part(parts[i], i)) return true;
    }
    return false;
  });
}

std::map<std::string, nlohmann::json> layer_options_of(const Merged& merged, const std::vector<std::string>& layers) {
  std::map<std::string, nlohmann::json> all;
  if (const auto at = merged.repeatable.find("layer-option"); at != merged.repeatable.end()) {
    for (const auto& [key, ranked] : at->second) {
      const auto dot = key.find('.');
      if (dot == std::string::npos) {
        throw UsageError("--layer-option '{}={}' names no layer; write LAYER.OPTION=VALUE, for example {}.{}={}", key,
                         ranked.value, layers.front(), key, ranked.value);
      }
      const std::string layer = key.substr(0, dot);
      if (is_part_of(layer, layers)) {
        all[layer][key.substr(dot + 1)] = ranked.value;
      } else if (merged.by_user(ranked)) {
        throw UsageError("--layer-option {}={} is for a layer that is not among those asked for; {}", key, ranked.value,
                         unknown_name_message("layer", layer, layers));
      }
    }
  }
  if (const auto at = merged.repeatable.find("option"); at != merged.repeatable.end()) {
    if (layers.size() != 1 || layers.front().find('+') != std::string::npos) {
      throw UsageError("--option is for one layer; with {} write --layer-option LAYER.OPTION=VALUE",
                       shell_command(layers));
    }
    for (const auto& [key, ranked] : at->second) {
      nlohmann::json& options = all[layers.front()];
      const auto same = merged.repeatable.find("layer-option");
      const std::string full = layers.front() + "." + key;
      if (same != merged.repeatable.end() && same->second.contains(full) && merged.by_user(same->second.at(full))) {
        throw UsageError("--option {} and --layer-option {} set the same thing; say it once", key, full);
      }
      options[key] = ranked.value;
    }
  }
  return all;
}

std::optional<double> stop_accuracy_of(const std::string& text) {
  if (text == "none") return std::nullopt;
  const double accuracy = parse_real("--stop-accuracy", text);
  if (accuracy <= 0 || accuracy > 1) {
    throw UsageError("--stop-accuracy is {}; it must be above 0 and at most 1, or none to train all epochs", text);
  }
  return accuracy;
}

bool boolean_of(const Merged& merged, const std::string& name, bool otherwise) {
  const Ranked* given = merged.find(name);
  if (given == nullptr) return otherwise;
  if (given->value == "true" || given->value == "false") return given->value == "true";
  throw UsageError("--{} is '{}'; it must be true or false", name, given->value);
}

bool constant_rate_of(const Merged& merged) {
  const Ranked* given = merged.find("schedule");
  if (given == nullptr || given->value == "cosine") return false;
  if (given->value == "constant") return true;
  throw UsageError("--schedule: {}",
                   unknown_name_message("schedule", given->value, std::vector<std::string>{"cosine", "constant"}));
}

bool halving_of(const Merged& merged) {
  const Ranked* given = merged.find("search");
  if (given == nullptr || given->value == "list") return false;
  if (given->value == "halving") return true;
  throw UsageError("--search: {}",
                   unknown_name_message("search", given->value, std::vector<std::string>{"list", "halving"}));
}

Precision precision_of(const Merged& merged) {
  const Ranked* given = merged.find("precision");
  return given == nullptr ? Precision::float32 : read_precision("--precision", given->value);
}

double final_rate_of(const Merged& merged) {
  const Ranked* given = merged.find("final-lr");
  const double rate = given == nullptr ? 0 : parse_real("--final-lr", given->value);
  if (rate < 0) throw UsageError("--final-lr is {}; it must not be negative", rate);
  return rate;
}

}  // namespace

const std::vector<SettingName>& setting_names() {
  static const std::vector<SettingName> names = {
      {"layers", false, "layers to compare; a hybrid is a+b: block i uses part i mod n"},
      {"layer-option", true,
       "an option of a layer, LAYER.OPTION=VALUE or =A,B,C; of part N of a hybrid, LAYER#N.OPTION"},
      {"option", true, "the same where there is one layer, OPTION=VALUE"},
      {"d-model", false, "widths"},
      {"match", false,
       "instead of widths: each layer's that is nearest to parameters=N, state=BYTES or flops=N; state=BYTES with "
       "--d-model: at these widths, the option that sets how large the state is"},
      {"lr", false, "learning rates"},
      {"search", false, "of the learning rate: list (train all) or halving (the worse half stops early) (list)"},
      {"seeds", false, "seeds of data and weights"},
      {"seq-len", false, "sequence lengths T, in pairs with --kv-pairs"},
      {"kv-pairs", false, "key-value pairs in a sequence"},
      {"train-examples", false, "training examples, one number or one per cell"},
      {"test-examples", false, "test examples (and as many for validation), one number or one per cell"},
      {"train", false, "one run on a mixture, T:KV:EXAMPLES,..., instead of --seq-len and --kv-pairs"},
      {"test", false, "what a mixture is tested on, T:KV:EXAMPLES,..."},
      {"train-option", true, "an option of the task in training, OPTION=VALUE"},
      {"test-option", true, "an option of the task in tests, OPTION=VALUE or =A,B,C for a test at each"},
      {"batch-size", false, "sequences in a batch, one number or one per cell"},
      {"epochs", false, "passes over the training examples"},
      {"fresh-data", false, "true: each epoch has examples of its own (false)"},
      {"schedule", false, "of the learning rate: cosine (stepped by epoch) or constant (cosine)"},
      {"final-lr", false, "where the cosine ends (0)"},
      {"stop-accuracy", false, "end a run once validation accuracy reaches this; none: train all epochs"},
      {"vocab-size", false, "tokens in the vocabulary"},
      {"task", false, "the task"},
      {"task-option", true, "an option of the task, OPTION=VALUE"},
      {"backbone", false, "what surrounds the layers"},
      {"backbone-option", true, "an option of the backbone, OPTION=VALUE"},
      {"embedding-dropout", false, "share of embedding channels dropped in training"},
      {"feed-forward", false, "what follows the layer in a block"},
      {"feed-forward-option", true, "an option of the feed-forward, OPTION=VALUE"},
      {"blocks", false, "blocks in the model"},
      {"tied-head", false, "false: the head of a language model has a weight of its own, not the embedding (true)"},
      {"weight-decay", false, "of AdamW"},
      {"precision", false, "of products with --device gpu: float32, tf32 or bf16 (float32)"},
  };
  return names;
}

std::map<std::string, nlohmann::json> read_layer_options(const std::vector<std::string>& layers,
                                                         const SettingSource& source) {
  // Behind nothing in the place of a preset, whose superfluous options would be dropped.
  return layer_options_of(merge({{}, source}), layers);
}

SweepSettings read_sweep_settings(const std::vector<SettingSource>& sources) {
  const Merged merged = merge(sources);
  SweepSettings settings;
  settings.layers = split_list("--layers", merged.get("layers"));
  const Ranked* match = merged.find("match");
  const Ranked* widths = merged.find("d-model");
  // Of two that were said in different places, a preset and the command line, the later one holds.
  if (match != nullptr && (widths == nullptr || widths->rank <= match->rank))
    settings.match = parse_match(match->value);
  if (match == nullptr || (widths != nullptr && widths->rank >= match->rank)) {
    settings.d_model = parse_integers("--d-model", merged.get("d-model"), 1);
  }
  if (settings.match && !settings.d_model.empty() && settings.match->quantity != Match::Quantity::state) {
    throw UsageError(
        "--d-model and --match {} contradict: give widths, or let them be chosen; at given widths --match state=BYTES "
        "chooses the options that set how large a state is",
        match->value);
  }
  settings.lr = parse_positive_reals("--lr", merged.get("lr"));
  settings.seeds = parse_integers("--seeds", merged.get("seeds"), 0);
  settings.cells = cells_of(merged);
  settings.layer_options = layer_options_of(merged, settings.layers);
  settings.task = merged.get("task");
  settings.task_options = options_of(merged, "task", "task-option");
  settings.epochs = parse_integer("--epochs", merged.get("epochs"), 1);
  settings.fresh_data = boolean_of(merged, "fresh-data", false);
  settings.halving = halving_of(merged);
  settings.constant_rate = constant_rate_of(merged);
  settings.final_lr = final_rate_of(merged);
  settings.tied_head = boolean_of(merged, "tied-head", true);
  settings.stop_accuracy = stop_accuracy_of(merged.get("stop-accuracy"));
  settings.backbone = merged.get("backbone");
  settings.backbone_options = options_of(merged, "backbone", "backbone-option");
  settings.feed_forward = merged.get("feed-forward");
  settings.feed_forward_options = options_of(merged, "feed-forward", "feed-forward-option");
  settings.blocks = parse_integer("--blocks", merged.get("blocks"), 1);
  settings.weight_decay = parse_real("--weight-decay", merged.get("weight-decay"));
  if (settings.weight_decay < 0)
    throw UsageError("--weight-decay is {}; it must not be negative", settings.weight_decay);
  settings.precision = precision_of(merged);
  return settings;
}

}  // namespace zoo
