#include "zoo/nn/model.h"

#include <set>

#include "zoo/core/error.h"
#include "zoo/ops/ops.h"

namespace zoo {

namespace {

std::vector<Layer*> pointers(const std::vector<std::unique_ptr<Layer>>& layers) {
  std::vector<Layer*> result;
  for (const auto& layer : layers) result.push_back(layer.get());
  return result;
}

PoolVector<State> initial_states(const std::vector<Layer*>& layers, std::int64_t batch) {
  PoolVector<State> states;
  states.reserve(layers.size());
  for (const Layer* layer : layers) states.push_back(layer->initial_state(batch));
  return states;
}

void check(const ModelSpec& spec) {
  const auto need = [](std::int64_t value, const char* what) {
    if (value < 1) throw UsageError("{} is {}, it must be at least 1", what, value);
  };
  need(spec.blocks, "the number of blocks");
  need(spec.d_model, "d_model");
  if (spec.input_channels == 0) need(spec.vocab_size, "the vocabulary size");
  need(spec.max_length, "the longest sequence");
}

void check_option_keys(const ModelSpec& spec, const std::vector<std::string>& parts) {
  std::set<std::string> keys;
  for (std::size_t i = 0; i < parts.size(); ++i) keys.insert({parts[i], numbered_part(parts[i], i)});
  for (const auto& [name, given] : spec.layer_options.items()) {
    if (!keys.contains(name)) {
      throw UsageError("options were given for layer '{}', which is no part of '{}'", name, spec.layer);
    }
  }
}

}  // namespace

std::int64_t ModelState::bytes() const {
  std::int64_t total = 0;
  for (const State& state : mixers) total += state.bytes();
  for (const State& state : feed_forwards) total += state.bytes();
  for (const State& state : backbone) total += state.bytes();
  return total;
}

Registry<BackboneEntry>& backbone_registry() {
  static Registry<BackboneEntry> registry("backbone");
  return registry;
}

std::vector<std::string> layer_parts(const std::string& layer) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = layer.find('+', begin);
    parts.push_back(layer.substr(begin, end == std::string::npos ? end : end - begin));
    layer_registry().get(parts.back());
    if (end == std::string::npos) return parts;
    begin = end + 1;
  }
}

std::string numbered_part(const std::string& name, std::size_t index) {
  return fmt::format("{}#{}", name, index + 1);
}

nlohmann::json options_of_part(const nlohmann::json& layer_options, const std::vector<std::string>& parts,
                               std::size_t index) {
  for (const std::string& key : {numbered_part(parts[index], index), parts[index]}) {
    if (layer_options.contains(key)) return layer_options.at(key);
  }
  return nlohmann::json::object();
}

Model::Model(const ModelSpec& spec, std::uint64_t seed, DType dtype) {
  const Initialization roles = declare(spec);
  slab_ = initialize(parameters_, seed, roles, dtype);
}

Model Model::zeros(const ModelSpec& spec, DType dtype) {
  Model model;
  model.declare(spec);
  model.slab_ = allocate(model.parameters_, dtype);
  return model;
}

Parameters Model::declared(const ModelSpec& spec) {
  Model model;
  model.declare(spec);
  return model.parameters_;
}

Initialization Model::declare(const ModelSpec& spec) {
  check(spec);
  const Options none;
  Builder top(spec.d_model, none, parameters_);
  if (spec.input_channels > 0) {
    input_ = Linear(top, "input", spec.input_channels, spec.d_model, {.bias = true});
  } else {
    embedding_ = top.parameter("embedding.weight", {spec.vocab_size, spec.d_model}, Initializer::embedding());
  }

  const std::vector<std::string> parts = layer_parts(spec.layer);
  check_option_keys(spec, parts);
  // A part's options must outlive its construction only: a layer keeps what it needs.
  BackboneParts built;
  bool learned_positions = false;
  const auto build = [&](const LayerEntry& entry, const nlohmann::json& given, std::string_view kind,
                         std::int64_t block, const std::string& prefix) {
    const Options options(entry.options, given, fmt::format("{} {}", kind, entry.name));
    const BackboneWishes wishes = entry.wishes ? entry.wishes(options) : BackboneWishes{};
    learned_positions |= wishes.learned_positions;
    if (kind == "layer") built.wishes.push_back(wishes);
    Builder builder(spec.d_model, options, parameters_, prefix);
    builder.layer_index = static_cast<int>(block);
    builder.n_layers = static_cast<int>(spec.blocks);
    builder.max_length = spec.max_length;
    return entry.make(builder);
  };
  for (std::int64_t block = 0; block < spec.blocks; ++block) {
    const std::string prefix = fmt::format("blocks.{}.", block);
    const std::size_t part = static_cast<std::size_t>(block) % parts.size();
    built.mixers.push_back(build(layer_registry().get(parts[part]), options_of_part(spec.layer_options, parts, part),
                                 "layer", block, prefix + "mixer."));
    if (spec.feed_forward != "none") {
      built.feed_forwards.push_back(build(feed_forward_registry().get(spec.feed_forward), spec.feed_forward_options,
                                          "feed-forward", block, prefix + "feed_forward."));
    }
  }
  if (learned_positions) {
    positions_ = top.parameter("position_embedding.weight", {spec.max_length, spec.d_model}, Initializer::embedding());
  }
  mixers_ = pointers(built.mixers);
  feed_forwards_ = pointers(built.feed_forwards);

  const BackboneEntry& entry = backbone_registry().get(spec.backbone);
  const Options options(entry.options, spec.backbone_options, "backbone " + entry.name);
  Builder builder(spec.d_model, options, parameters_);
  builder.n_layers = static_cast<int>(spec.blocks);
  builder.max_length = spec.max_length;
  backbone_ = entry.make(builder, std::move(built));
  head_ = Head(top, spec.head.outputs == 0 ? HeadSpec{HeadKind::language_model, spec.vocab_size} : spec.head,
               embedding_, spec.tied_head);

  std::set<std::string> names;
  for (const Parameter& parameter : parameters_) {
    if (!names.insert(parameter.spec().name).second) {
      throw UsageError("two parameters are named '{}': a layer declared one twice", parameter.spec().name);
    }
  }
  return entry.initialization(options, spec.blocks);
}

ModelState Model::initial_state(std::int64_t batch) const {
  return {.mixers = initial_states(mixers_, batch),
          .feed_forwards = initial_states(feed_forwards_, batch),
          .backbone = backbone_->initial_state(batch)};
}

Tensor Model::forward(const Tensor& inputs, ModelState& state, const Context& context) const {
  Tensor x = embedding_.defined() ? ops::gather_rows(embedding_, inputs) : input_(inputs);
  if (positions_.defined()) {
    const std::int64_t end = state.position + inputs.dim(1);
    const std::int64_t known = positions_.value().dim(0);
    if (end > known) {
      throw Error("the model has learned positions up to {} and was given a sequence of {}; train it with a longer one",
                  known, end);
    }
    x = x + ops::slice(positions_, 0, state.position, end);
  }
  Tensor y = backbone_->forward(x, state, context);
  state.position += inputs.dim(1);
  return y;
}

}  // namespace zoo
