#include "runners/lm/options.h"

#include <fmt/format.h>

#include "zoo/core/error.h"
#include "zoo/lm/presets.h"
#include "zoo/nn/model.h"
#include "zoo/sweep/settings.h"
#include "zoo/sweep/text.h"

namespace zoo {

namespace {

namespace po = boost::program_options;

std::optional<std::string> given(const po::variables_map& values, const char* name) {
  return values.contains(name) ? std::optional(values[name].as<std::string>()) : std::nullopt;
}

std::optional<std::int64_t> integer(const po::variables_map& values, const std::string& name, std::int64_t minimum) {
  const auto text = given(values, name.c_str());
  return text ? std::optional(parse_integer("--" + name, *text, minimum)) : std::nullopt;
}

std::optional<double> real(const po::variables_map& values, const std::string& name, double minimum, double below) {
  const auto text = given(values, name.c_str());
  if (!text) return std::nullopt;
  const double value = parse_real("--" + name, *text);
  if (value < minimum || value >= below) {
    throw UsageError("--{} is {}; it must be at least {} and below {}", name, value, minimum, below);
  }
  return value;
}

bool boolean(const po::variables_map& values, const std::string& name, bool otherwise) {
  const auto text = given(values, name.c_str());
  if (!text) return otherwise;
  if (*text != "true" && *text != "false") throw UsageError("--{} is '{}'; it is true or false", name, *text);
  return *text == "true";
}

std::vector<std::string> texts(const po::variables_map& values, const char* name) {
  return values.contains(name) ? values[name].as<std::vector<std::string>>() : std::vector<std::string>{};
}

}  // namespace

po::options_description lm_choice_options() {
  std::vector<std::string> names;
  for (const LmPreset& preset : lm_presets()) names.push_back(preset.name);
  const std::string presets = fmt::format("size and recipe: {} (small)", fmt::join(names, ", "));
  const auto text = [] { return po::value<std::string>(); };
  const auto repeated = [] { return po::value<std::vector<std::string>>(); };
  po::options_description options;
  options.add_options()                                                                       //
      ("corpus", text(), "a folder that zoo lm prepare wrote")                                //
      ("preset", text(), presets.c_str())                                                     //
      ("context", text(), "T, tokens of a sequence (the preset's)")                           //
      ("steps", text(), "optimizer steps (the preset's)")                                     //
      ("batch-tokens", text(), "tokens of a step, a multiple of the context (the preset's)")  //
      ("blocks", text(), "blocks of the model (the preset's)")                                //
      ("d-model", text(), "its width (the preset's)")                                         //
      ("heads", text(), "heads of layers that have them (the preset's)")                      //
      ("lr", text(), "largest learning rate (the preset's)")                                  //
      ("final-lr", text(), "learning rate at the end of the cosine (1e-5)")                   //
      ("warmup", text(), "steps until the largest learning rate (a tenth of all)")            //
      ("weight-decay", text(), "of AdamW (0.1)")                                              //
      ("beta1", text(), "of AdamW (0.9)")                                                     //
      ("beta2", text(), "of AdamW (0.95)")                                                    //
      ("clip", text(), "largest norm of the gradient, or none (1)")                           //
      ("seed", text(), "of parameters and data order (0)")                                    //
      ("backbone", text(), "transformer, mamba or another (transformer)")                     //
      ("backbone-option", repeated(), "OPTION=VALUE (may be repeated)")                       //
      ("feed-forward", text(), "what follows the layer in a block, or none (swiglu)")         //
      ("feed-forward-option", repeated(), "OPTION=VALUE (may be repeated)")                   //
      ("layer-option", repeated(), "LAYER.OPTION=VALUE (may be repeated)")                    //
      ("option", repeated(), "OPTION=VALUE, where there is one layer (may be repeated)")      //
      ("tied-head", text(), "true: the head reads with the embedding (true)")                 //
      ("precision", text(), "of products on the gpu: float32, tf32 or bf16 (float32)")        //
      ("validation-tokens", text(), "tokens of an evaluation, at most (32 sequences)")        //
      ("evaluate-every", text(), "steps between evaluations (a tenth of all)");
  return options;
}

LmChoices read_lm_choices(const po::variables_map& values, const std::vector<std::string>& layers) {
  LmChoices choices;
  choices.preset = given(values, "preset").value_or(choices.preset);
  choices.context = integer(values, "context", 1);
  choices.steps = integer(values, "steps", 1);
  choices.batch_tokens = integer(values, "batch-tokens", 1);
  choices.blocks = integer(values, "blocks", 1);
  choices.d_model = integer(values, "d-model", 1);
  choices.heads = integer(values, "heads", 1);
  choices.warmup = integer(values, "warmup", 0);
  choices.validation_tokens = integer(values, "validation-tokens", 1);
  choices.evaluate_every = integer(values, "evaluate-every", 1);
  choices.seed = static_cast<std::uint64_t>(integer(values, "seed", 0).value_or(0));
  if (const auto rate = given(values, "lr")) choices.learning_rate = parse_positive_reals("--lr", *rate).front();
  constexpr double no_limit = std::numeric_limits<double>::infinity();
  choices.final_learning_rate = real(values, "final-lr", 0, no_limit).value_or(choices.final_learning_rate);
  choices.weight_decay = real(values, "weight-decay", 0, no_limit).value_or(choices.weight_decay);
  choices.beta1 = real(values, "beta1", 0, 1).value_or(choices.beta1);
  choices.beta2 = real(values, "beta2", 0, 1).value_or(choices.beta2);
  if (const auto clip = given(values, "clip")) {
    choices.clip = *clip == "none" ? std::nullopt : std::optional(parse_positive_reals("--clip", *clip).front());
  }
  choices.backbone = given(values, "backbone").value_or(choices.backbone);
  choices.feed_forward = given(values, "feed-forward").value_or(choices.feed_forward);
  choices.backbone_options = parse_assignments(texts(values, "backbone-option"));
  choices.feed_forward_options = parse_assignments(texts(values, "feed-forward-option"));
  choices.tied_head = boolean(values, "tied-head", choices.tied_head);
  if (const auto precision = given(values, "precision")) choices.precision = read_precision("--precision", *precision);
  SettingSource source{.origin = "the command line", .values = {}};
  for (const char* name : {"layer-option", "option"}) {
    for (const std::string& assignment : texts(values, name)) source.values.emplace_back(name, assignment);
  }
  choices.layer_options = read_layer_options(layers, source);
  return choices;
}

std::map<std::string, nlohmann::json> options_for(const std::string& layer,
                                                  const std::map<std::string, nlohmann::json>& layer_options) {
  std::map<std::string, nlohmann::json> own;
  const auto parts = layer_parts(layer);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    for (const std::string& key : {parts[i], numbered_part(parts[i], i)}) {
      if (const auto at = layer_options.find(key); at != layer_options.end()) own.insert(*at);
    }
  }
  return own;
}

std::string needed_option(std::string_view command, const po::variables_map& values, const char* name) {
  const auto text = given(values, name);
  if (!text || text->empty()) {
    throw UsageError("zoo lm {} needs --{}; zoo lm {} --help tells what it takes", command, name, command);
  }
  return *text;
}

po::options_description lm_run_options() {
  const auto text = [] { return po::value<std::string>(); };
  po::options_description options;
  options.add_options()                                                                                     //
      ("micro-batch", text(), "sequences of one forward and backward pass (chosen by the model's width)")   //
      ("recompute", po::bool_switch(), "keep only what enters each block: less memory, a third more work")  //
      ("keep", text(), "checkpoints that stay (2)")                                                         //
      ("checkpoint-every", text(), "steps between checkpoints, besides one every five minutes");
  return options;
}

LmRunRequest read_lm_run_options(const po::variables_map& values) {
  LmRunRequest request;
  request.micro_batch = integer(values, "micro-batch", 1);
  request.recompute = values["recompute"].as<bool>();
  request.keep = static_cast<int>(std::min<std::int64_t>(integer(values, "keep", 1).value_or(request.keep), 1 << 20));
  request.checkpoint_every = integer(values, "checkpoint-every", 1).value_or(0);
  return request;
}

}  // namespace zoo
