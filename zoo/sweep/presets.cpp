#include "zoo/sweep/presets.h"

#include <algorithm>

#include "zoo/core/error.h"

namespace zoo {

namespace {

// Common to all: Zoology's model of two blocks without feed-forward, and its weight decay.
const std::vector<std::pair<std::string, std::string>>& common() {
  static const std::vector<std::pair<std::string, std::string>> settings = {
      {"task", "mqar"}, {"backbone", "recall"},  {"feed-forward", "none"},
      {"blocks", "2"},  {"weight-decay", "0.1"}, {"stop-accuracy", "0.99"}};
  return settings;
}

// What runs in minutes: a small vocabulary and short sequences, in which attention finds recall within a few passes.
std::vector<std::pair<std::string, std::string>> quick_settings(const std::string& layers, const std::string& widths) {
  return {{"layers", layers},
          {"layer-option", "mamba2.head_dim=32"},  // which divides twice the widths
          {"d-model", widths},
          {"lr", "0.004"},
          {"seeds", "0"},
          {"vocab-size", "256"},
          {"seq-len", "64"},
          {"kv-pairs", "8"},
          {"train-examples", "20000"},
          {"test-examples", "1000"},
          {"batch-size", "32"},  // many small steps: attention finds recall after about a thousand
          // Zoology's small first weights take thousands of steps to find the way to recall, with larger ones hundreds
          // are enough; nothing is trained long enough to need dropout.
          {"backbone-option", "initial_scale=8"},
          {"embedding-dropout", "0"},
          {"epochs", "4"}};
}

// The quick setting for attention with positions of its own, and three layers with a state of fixed size.
std::vector<std::pair<std::string, std::string>> quick() {
  auto settings = quick_settings("attention,linear_attention,mamba,ttt_linear", "48,64");
  settings.emplace_back("layer-option", "attention.positions=learned");
  settings.emplace_back("layer-option", "nadaraya_watson.positions=learned");
  return settings;
}

// The same for every layer. Recall needs a token beside the one before it, which linear attention and its like have no
// means to find in minutes: as in Based's figure 2 a short convolution comes first, but with Mamba and Mamba-2, which
// have their own. What is left to the layer is how much its state can hold.
std::vector<std::pair<std::string, std::string>> quick_all() {
  std::string layers = "base_conv,mamba,mamba2";
  for (const char* layer :
       {"attention", "nadaraya_watson", "linear_attention", "retnet", "gla", "rwkv4", "rwkv6", "delta_net",
        "gated_delta_net", "ttt_linear", "ttt_mlp", "ttt", "rnn", "lstm", "gru", "min_gru"}) {
    layers += ",base_conv+" + std::string(layer);
  }
  return quick_settings(layers, "32,64");
}

std::vector<Preset> make_presets() {
  std::vector<Preset> all = {
      {.name = "smoke",
       .description = "seconds, even on an emulated GPU: 30 steps of two layers, to see that all parts work together",
       .settings = {.values = {{"layers", "attention,linear_attention"},
                               {"layer-option", "attention.positions=learned"},
                               {"d-model", "32"},
                               {"lr", "0.004"},
                               {"seeds", "0"},
                               {"vocab-size", "64"},
                               {"seq-len", "16"},
                               {"kv-pairs", "2"},
                               {"train-examples", "240"},
                               {"test-examples", "32"},
                               {"batch-size", "16"},
                               {"backbone-option", "initial_scale=8"},  // as in quick
                               {"embedding-dropout", "0"},
                               {"epochs", "2"}}}},
      {.name = "quick",
       .description = "minutes on a laptop: attention solves recall at T 64, a fixed state of the same width does not",
       .settings = {.values = quick()}},
      {.name = "quick-all",
       .description = "every layer behind a short convolution: accuracy against state bytes, in a quarter of an hour",
       .settings = {.values = quick_all()}},
      {.name = "figure2-small",
       .description =
           "the shorter half of Zoology's figure 2 in two hours: T 64 and 128, d_model 64 and 128, 16 epochs",
       .settings = {.values = {{"layers", "attention,linear_attention,nadaraya_watson,base_conv+base_conv"},
                               {"layer-option", "base_conv#2.conv_kernel=-1"},  // as in figure2
                               {"layer-option", "attention.positions=learned"},
                               {"layer-option", "attention.bias=true"},
                               {"layer-option", "attention.dropout=0.1"},
                               {"layer-option", "nadaraya_watson.positions=learned"},
                               {"d-model", "64,128"},
                               {"lr", "0.001,0.0031622776601683794,0.01"},  // logspace(-3, -2, 3)
                               {"seeds", "0"},
                               // A vocabulary and a number of examples that two cores work through; with 8192 tokens
                               // 20,000 examples are learned by heart before recall is found.
                               {"vocab-size", "1024"},
                               {"seq-len", "64,128"},
                               {"kv-pairs", "4,8"},
                               {"train-examples", "20000"},
                               {"test-examples", "1000"},
                               {"batch-size", "64"},
                               {"backbone-option", "initial_scale=8"},  // as in quick
                               {"epochs", "16"}}}},
      {.name = "figure2",
       .description = "Zoology's figure 2 (Arora et al. 2023): accuracy against d_model at T 64 to 512",
       .settings = {.values = {{"layers", "attention,linear_attention,nadaraya_watson,base_conv+base_conv"},
                               // Zoology alternates a short and a long convolution.
                               {"layer-option", "base_conv#2.conv_kernel=-1"},
                               {"layer-option", "attention.positions=learned"},
                               {"layer-option", "attention.bias=true"},
                               {"layer-option", "attention.dropout=0.1"},
                               {"layer-option", "nadaraya_watson.positions=learned"},
                               {"d-model", "64,128,256,512"},
                               // logspace(-4, -2, 4)
                               {"lr", "0.0001,0.00046415888336127773,0.002154434690031882,0.01"},
                               {"seeds", "0"},
                               {"vocab-size", "8192"},
                               {"seq-len", "64,128,256,512"},
                               {"kv-pairs", "4,8,16,64"},
                               {"train-examples", "100000"},
                               {"test-examples", "3000"},
                               {"batch-size", "512,512,256,128"},
                               {"epochs", "64"}}}},
      {.name = "recall-memory",
       .description = "Based's figure 2 (Arora et al. 2024): accuracy against state bytes, one model on a mixture",
       .settings = {.values = {{"layers", "base_conv+attention,base_conv+linear_attention,base_conv+nadaraya_watson"},
                               {"layer-option", "attention.bias=true"},
                               {"layer-option", "attention.dropout=0.1"},
                               {"layer-option", "attention.window=0,16,32,64,128"},
                               {"d-model", "64,128"},
                               // logspace(-3, -1.5, 4)
                               {"lr", "0.001,0.0031622776601683794,0.01,0.03162277660168379"},
                               {"seeds", "0"},
                               {"vocab-size", "8192"},
                               {"task-option", "random_non_queries=true"},
                               {"train", "64:4:100000,128:8:20000,256:16:20000,256:32:20000,256:64:20000"},
                               {"test",
                                "64:4:1000,64:8:1000,64:16:1000,128:32:1000,256:64:1000,512:128:1000,1024:256:1000"},
                               {"batch-size", "256"},
                               {"epochs", "32"}}}},
  };
  for (Preset& preset : all) {
    preset.settings.origin = "preset " + preset.name;
    preset.settings.values.insert(preset.settings.values.end(), common().begin(), common().end());
  }
  return all;
}

}  // namespace

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = make_presets();
  return all;
}

const Preset& find_preset(std::string_view name) {
  const auto at = std::ranges::find(presets(), name, &Preset::name);
  if (at != presets().end()) return *at;
  std::vector<std::string> names;
  for (const Preset& preset : presets()) names.push_back(preset.name);
  throw UsageError(unknown_name_message("preset", name, names));
}

}  // namespace zoo
