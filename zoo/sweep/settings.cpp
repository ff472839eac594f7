#include "zoo/sweep/settings.h"

#include <algorithm>
#include <cmath>

#include "zoo/core/error.h"
#include "zoo/nn/model.h"
#include "zoo/sweep/text.h"

namespace zoo {

namespace {

// Where a value comes from: the index of its source, so that later ones win and presets are known.
struct Ranked {
  std::string value;
  std::size_t rank = 0;
};

// All sources merged, nothing converted yet.
struct Merged {
  std::map<std::string, Ranked> single;                             // "epochs" -> "64"
  std::map<std::string, std::map<std::string, Ranked>> repeatable;  // "layer-option" -> "attention.heads" -> "2"
  std::vector<std::string> origins;

  const Ranked* find(const std::string& name) const {
    const auto at = single.find(name);
    return at == single.end() ? nullptr : &at->second;
  }
  const std::string& get(const std::string& name) const {
    if (const Ranked* ranked = find(name)) return ranked->value;
    throw UsageError("--{} is missing; give it", name);
  }
  std::size_t rank(const std::string& name) const {
    const Ranked* ranked = find(name);
    return ranked == nullptr ? 0 : ranked->rank;
  }
  bool by_user(const Ranked& ranked) const { return ranked.rank > 0; }
};

// Settings that are an option of the task or of the backbone by another name.
std::pair<std::string, std::string> unalias(const std::pair<std::string, std::string>& setting) {
  if (setting.first == "vocab-size") return {"task-option", "vocab_size=" + setting.second};
  if (setting.first == "embedding-dropout") return {"backbone-option", "embedding_dropout=" + setting.second};
  return setting;
}

void add_assignment(Merged& merged, const std::string& name, const std::string& value, std::size_t rank) {
  const auto equals = value.find('=');
  const std::string key(trim(value.substr(0, equals)));
  if (equals == std::string::npos || key.empty()) {
    const bool dotted = name == "layer-option";
    throw UsageError("--{} '{}' is not an assignment; write {}", name, value,
                     dotted ? "LAYER.OPTION=VALUE, for example attention.heads=2" : "OPTION=VALUE");
  }
  auto [at, inserted] = merged.repeatable[name].try_emplace(key);
  if (!inserted && at->second.rank == rank) {
    throw UsageError("--{} sets {} twice in {}; say it once", name, key, merged.origins[rank]);
  }
  at->second = {std::string(trim(value.substr(equals + 1))), rank};
}

Merged merge(const std::vector<SettingSource>& sources) {
  Merged merged;
  for (std::size_t rank = 0; rank < sources.size(); ++rank) {
    merged.origins.push_back(sources[rank].origin);
    for (const auto& written : sources[rank].values) {
      const auto [name, value] = unalias(written);
      const auto known = std::ranges::find(setting_names(), name, &SettingName::name);
      if (known == setting_names().end()) {
        std::vector<std::string> names;
        for (const SettingName& setting : setting_names()) names.push_back(setting.name);
        throw UsageError("{}: {}", sources[rank].origin, unknown_name_message("setting", name, names));
      }
      if (known->repeatable) {
        add_assignment(merged, name, value, rank);
        continue;
      }
      auto [at, inserted] = merged.single.try_emplace(name);
      if (!inserted && at->second.rank == rank) {
        throw UsageError("--{} is given twice in {}; say it once, several values as a,b,c", name, sources[rank].origin);
      }
      at->second = {value, rank};
    }
  }
  return merged;
}

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

// One value for each cell from a list that has as many, or one for all.
template <typename Value>
std::vector<Value> for_each_cell(std::vector<Value> values, std::size_t cells, std::string_view name) {
  if (values.size() == 1) values.resize(cells, values.front());
  if (values.size() != cells) {
    throw UsageError("--{} has {} values, but --seq-len and --kv-pairs make {} cells; give one value, or one per cell",
                     name, values.size(), cells);
  }
  return values;
}

// A list that need not have distinct values: cells differ in something else.
std::vector<std::int64_t> cell_numbers(const Merged& merged, const std::string& name) {
  const std::string& text = merged.get(name);
  if (trim(text).empty()) throw UsageError("--{} is empty; give at least one value, several as a,b,c", name);
  std::vector<std::int64_t> numbers;
  for (const std::string& part : split(text, ',')) numbers.push_back(parse_integer("--" + name, part, 1));
  return numbers;
}

std::vector<Cell> cells_in_pairs(const Merged& merged) {
  const auto seq_len = cell_numbers(merged, "seq-len");
  const auto kv_pairs = cell_numbers(merged, "kv-pairs");
  const std::size_t count = std::max(seq_len.size(), kv_pairs.size());
  if (std::min(seq_len.size(), kv_pairs.size()) != 1 && seq_len.size() != kv_pairs.size()) {
    throw UsageError(
        "--seq-len has {} values and --kv-pairs has {}; they go in pairs: give equally many of both, or one of either",
        seq_len.size(), kv_pairs.size());
  }
  const auto lengths = for_each_cell(seq_len, count, "seq-len");
  const auto pairs = for_each_cell(kv_pairs, count, "kv-pairs");
  const auto train = for_each_cell(cell_numbers(merged, "train-examples"), count, "train-examples");
  const auto test = for_each_cell(cell_numbers(merged, "test-examples"), count, "test-examples");
  const auto batch = for_each_cell(cell_numbers(merged, "batch-size"), count, "batch-size");
  std::vector<Cell> cells;
  for (std::size_t i = 0; i < count; ++i) {
    const Cell cell{batch[i], {{lengths[i], pairs[i], train[i]}}, {{lengths[i], pairs[i], test[i]}}};
    if (std::ranges::find(cells, cell) != cells.end()) {
      throw UsageError("--seq-len {} with --kv-pairs {} is there twice; say it once", lengths[i], pairs[i]);
    }
    cells.push_back(cell);
  }
  return cells;
}

std::vector<CellPart> mixture_parts(const Merged& merged, const std::string& name) {
  std::vector<CellPart> parts;
  for (const std::string& text : split_list("--" + name, merged.get(name))) {
    const auto numbers = split(text, ':');
    if (numbers.size() != 3) {
      throw UsageError("--{} '{}' is not a part of a mixture; write SEQ_LEN:KV_PAIRS:EXAMPLES, for example 64:4:100000",
                       name, text);
    }
    const std::string option = "--" + name + " " + text;
    parts.push_back({parse_integer(option, numbers[0], 1), parse_integer(option, numbers[1], 1),
                     parse_integer(option, numbers[2], 1)});
  }
  return parts;
}

std::vector<Cell> cells_of(const Merged& merged) {
  std::optional<std::pair<std::size_t, std::string>> pairs;
  std::optional<std::pair<std::size_t, std::string>> mixture;
  for (const std::string name : {"seq-len", "kv-pairs", "train-examples", "test-examples"}) {
    if (const Ranked* ranked = merged.find(name)) pairs = std::max(pairs, {{ranked->rank, name}});
  }
  for (const std::string name : {"train", "test"}) {
    if (const Ranked* ranked = merged.find(name)) mixture = std::max(mixture, {{ranked->rank, name}});
  }
  if (!mixture || (pairs && pairs->first > mixture->first)) {
    if (mixture && (merged.find("seq-len") == nullptr || merged.find("kv-pairs") == nullptr)) {
      throw UsageError(
          "--{} is for cells of --seq-len and --kv-pairs, but {} describes a mixture; give --train and "
          "--test, or --seq-len and --kv-pairs",
          pairs->second, merged.origins[mixture->first]);
    }
    return cells_in_pairs(merged);
  }
  if (pairs && pairs->first == mixture->first) {
    throw UsageError("--{} and --{} contradict: a mixture by --train and --test, or cells by --seq-len and --kv-pairs",
                     mixture->second, pairs->second);
  }
  const auto batch = cell_numbers(merged, "batch-size");
  if (batch.size() != 1) {
    throw UsageError("--batch-size has {} values, but a mixture by --train is one cell; give one", batch.size());
  }
  return {{batch.front(), mixture_parts(merged, "train"), mixture_parts(merged, "test")}};
}

std::optional<double> stop_accuracy_of(const std::string& text) {
  if (text == "none") return std::nullopt;
  const double accuracy = parse_real("--stop-accuracy", text);
  if (accuracy <= 0 || accuracy > 1) {
    throw UsageError("--stop-accuracy is {}; it must be above 0 and at most 1, or none to train all epochs", text);
  }
  return accuracy;
}

}  // namespace

const std::vector<SettingName>& setting_names() {
  static const std::vector<SettingName> names = {
      {"layers", false, "layers to compare; a hybrid is a+b: block i uses part i mod n"},
      {"layer-option", true,
       "an option of a layer, LAYER.OPTION=VALUE or =A,B,C; of part N of a hybrid, LAYER#N.OPTION"},
      {"option", true, "the same where there is one layer, OPTION=VALUE"},
      {"d-model", false, "widths"},
      {"lr", false, "learning rates"},
      {"seeds", false, "seeds of data and weights"},
      {"seq-len", false, "sequence lengths T, in pairs with --kv-pairs"},
      {"kv-pairs", false, "key-value pairs in a sequence"},
      {"train-examples", false, "training examples, one number or one per cell"},
      {"test-examples", false, "test examples (and as many for validation), one number or one per cell"},
      {"train", false, "one run on a mixture, T:KV:EXAMPLES,..., instead of --seq-len and --kv-pairs"},
      {"test", false, "what a mixture is tested on, T:KV:EXAMPLES,..."},
      {"batch-size", false, "sequences in a batch, one number or one per cell"},
      {"epochs", false, "passes over the training examples"},
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
      {"weight-decay", false, "of AdamW"},
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
  settings.d_model = parse_integers("--d-model", merged.get("d-model"), 1);
  settings.lr = parse_positive_reals("--lr", merged.get("lr"));
  settings.seeds = parse_integers("--seeds", merged.get("seeds"), 0);
  settings.cells = cells_of(merged);
  settings.layer_options = layer_options_of(merged, settings.layers);
  settings.task = merged.get("task");
  settings.task_options = options_of(merged, "task", "task-option");
  settings.epochs = parse_integer("--epochs", merged.get("epochs"), 1);
  settings.stop_accuracy = stop_accuracy_of(merged.get("stop-accuracy"));
  settings.backbone = merged.get("backbone");
  settings.backbone_options = options_of(merged, "backbone", "backbone-option");
  settings.feed_forward = merged.get("feed-forward");
  settings.feed_forward_options = options_of(merged, "feed-forward", "feed-forward-option");
  settings.blocks = parse_integer("--blocks", merged.get("blocks"), 1);
  settings.weight_decay = parse_real("--weight-decay", merged.get("weight-decay"));
  if (settings.weight_decay < 0)
    throw UsageError("--weight-decay is {}; it must not be negative", settings.weight_decay);
  return settings;
}

}  // namespace zoo
