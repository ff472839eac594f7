#include "zoo/lm/pretrained.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "zoo/core/error.h"
#include "zoo/io/atomic_file.h"
#include "zoo/io/tensor_file.h"
#include "zoo/lm/pretrained_format.h"
#include "zoo/lm/public_weights.h"

namespace zoo {

namespace {

namespace fs = std::filesystem;

constexpr const char* head = "head.weight";
constexpr const char* embedding = "embedding.weight";

const PretrainedFormat& format_of(const PublicConfig& config) {
  const nlohmann::json* type = config.find("model_type");
  if (type == nullptr || !type->is_string()) {
    throw UsageError("'{}' has no model_type; known are {}", config.file().string(),
                     fmt::join(pretrained_registry().names(), ", "));
  }
  const std::string name = type->get<std::string>();
  if (const PretrainedFormat* format = pretrained_registry().find(name)) return *format;
  throw UsageError("'{}': {}", config.file().string(),
                   unknown_name_message("model_type", name, pretrained_registry().names()));
}

ModelSpec read_spec(PublicConfig& config, const PretrainedFormat& format) {
  ModelSpec spec;
  // Without a default of ours: those of transformers are sizes of particular models.
  for (const char* name : {"vocab_size", "hidden_size", "num_hidden_layers"}) {
    if (config.find(name) == nullptr) config.refuse(name, "every model has one");
  }
  spec.vocab_size = config.integer("vocab_size", 1, public_counts);
  spec.d_model = config.integer("hidden_size", 1, public_widths);
  spec.blocks = config.integer("num_hidden_layers", 1, public_counts);
  spec.tied_head = config.flag("tie_word_embeddings", format.tied_by_default);
  spec.feed_forward = format.feed_forward;
  spec.max_length = 1 << 20;  // of a layer without positions: there is no longest
  if (config.find("quantization_config") != nullptr) {
    config.refuse("quantization_config", "supported are weights in F32, F64, F16 or BF16");
  }
  format.read(config, spec);
  config.require_no_problems();
  return spec;
}

// The tensors of a checkpoint of these parameters. A tied head may be there, as a copy of the embedding.
std::vector<ExpectedTensor> expected_tensors(const PretrainedFormat& format, const Parameters& parameters) {
  std::vector<ExpectedTensor> expected;
  for (const Parameter& parameter : parameters) {
    expected.push_back({format.names.theirs(parameter.spec().name), parameter.spec().shape});
  }
  const std::string head_name = format.names.theirs(head);
  if (std::ranges::find(expected, head_name, &ExpectedTensor::name) == expected.end()) {
    const auto at = std::ranges::find(expected, format.names.theirs(embedding), &ExpectedTensor::name);
    expected.push_back({head_name, at->shape, true});
  }
  return expected;
}

bool equal(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

// The format that holds the layer; what the three parts of a block must be is checked here.
const PretrainedFormat& format_for(const ModelSpec& spec) {
  std::string known;
  for (const PretrainedFormat& format : pretrained_registry().entries()) {
    known += fmt::format("\n  {} holds {} in backbone {} with feed-forward {}", format.name,
                         fmt::join(format.layers, " or "), fmt::join(format.backbones, " or "), format.feed_forward);
    if (std::ranges::find(format.layers, spec.layer) != format.layers.end() &&
        std::ranges::find(format.backbones, spec.backbone) != format.backbones.end() &&
        spec.feed_forward == format.feed_forward) {
      return format;
    }
  }
  throw UsageError("no public format can hold layer {} in backbone {} with feed-forward {}:{}", spec.layer,
                   spec.backbone, spec.feed_forward, known);
}

nlohmann::ordered_json config_of(const PretrainedFormat& format, const ModelSpec& spec, const Model& model) {
  ExportedModel exported{
      spec, model.parameters(),
      Options(layer_registry().get(spec.layer).options, options_of_part(spec.layer_options, {spec.layer}, 0),
              "layer " + spec.layer),
      Options(backbone_registry().get(spec.backbone).options, spec.backbone_options, "backbone " + spec.backbone),
      spec.feed_forward == "none" ? Options()
                                  : Options(feed_forward_registry().get(spec.feed_forward).options,
                                            spec.feed_forward_options, "feed-forward " + spec.feed_forward)};
  const bool speaks =
      spec.head.outputs == 0 || (spec.head.kind == HeadKind::language_model && spec.head.outputs == spec.vocab_size);
  exported.require(spec.input_channels == 0, "its inputs are real numbers, not tokens");
  exported.require(speaks, "its head is a {} of {} outputs, not a language model's over the vocabulary of {}",
                   head_kind_name(spec.head.kind), spec.head.outputs, spec.vocab_size);
  const nlohmann::ordered_json own = format.write(exported);
  if (!exported.obstacles.empty()) {
    throw UsageError("format {} cannot hold the model:\n  {}", format.name, fmt::join(exported.obstacles, "\n  "));
  }
  const bool single = model.parameters().front().value().dtype() == DType::f32;
  nlohmann::ordered_json config = {{"architectures", {format.architecture}},
                                   {"model_type", format.name},
                                   {"torch_dtype", single ? "float32" : "float64"},
                                   {"vocab_size", spec.vocab_size},
                                   {"hidden_size", spec.d_model},
                                   {"num_hidden_layers", spec.blocks},
                                   {"tie_word_embeddings", spec.tied_head},
                                   // Which tokens these are is the tokenizer's to say.
                                   {"bos_token_id", nullptr},
                                   {"eos_token_id", nullptr},
                                   {"pad_token_id", nullptr}};
  config.update(own);
  return config;
}

}  // namespace

Registry<PretrainedFormat>& pretrained_registry() {
  static Registry<PretrainedFormat> registry("public format");
  return registry;
}

std::string PublicNames::theirs(const std::string& ours) const {
  constexpr std::string_view block = "blocks.";
  const bool in_a_block = ours.starts_with(block);
  const std::size_t end = in_a_block ? ours.find('.', block.size()) + 1 : 0;
  const std::string number = in_a_block ? blocks + ours.substr(block.size(), end - block.size()) : "";
  for (const auto& [own, other] : in_a_block ? in_block : outside) {
    if (ours.compare(end, own.size(), own) == 0) return number + other + ours.substr(end + own.size());
  }
  throw Error("the public format has no name for parameter '{}'", ours);
}

std::int64_t ExportedModel::extent(std::string_view name, int axis) const {
  const std::string full = fmt::format("blocks.0.{}", name);
  for (const Parameter& parameter : parameters) {
    if (parameter.spec().name == full) return parameter.spec().shape[axis];
  }
  throw Error("the model has no parameter '{}'", full);
}

bool is_pretrained(const std::string& folder) {
  try {
    format_of(PublicConfig(fs::path(folder) / "config.json"));
    return true;
  } catch (const UsageError&) {
    return false;
  }
}

ModelSpec pretrained_spec(const std::string& folder) {
  PublicConfig config(fs::path(folder) / "config.json");
  const PretrainedFormat& format = format_of(config);
  const ModelSpec spec = read_spec(config, format);
  // Nothing that the configuration asks for is allocated before the file is known to hold as much.
  const PublicWeights weights{fs::path(folder)};
  if (static_cast<std::uint64_t>(spec.blocks) > weights.count()) {
    throw UsageError("'{}': num_hidden_layers is {}, but the weights are {} tensors in all", config.file().string(),
                     spec.blocks, weights.count());
  }
  Parameters parameters;
  try {
    parameters = Model::declared(spec);
  } catch (const UsageError& error) {
    throw UsageError("'{}' describes a model that cannot be made here: {}", config.file().string(), error.what());
  }
  weights.require(expected_tensors(format, parameters), format.ignored);
  return spec;
}

void load_pretrained(const std::string& folder, Model& model) {
  const PublicConfig config(fs::path(folder) / "config.json");
  const PretrainedFormat& format = format_of(config);
  const PublicWeights weights{fs::path(folder)};
  const std::vector<ExpectedTensor> expected = expected_tensors(format, model.parameters());
  weights.require(expected, format.ignored);
  if (expected.back().optional && weights.has(expected.back().name) &&
      !equal(weights.read(expected.back().name), weights.read(format.names.theirs(embedding)))) {
    throw UsageError(
        "'{}': tie_word_embeddings is true, but the weights have a '{}' of their own that is not the embedding; set it "
        "to false",
        config.file().string(), expected.back().name);
  }
  for (std::size_t i = 0; i < model.parameters().size(); ++i) {
    // The values lie in the model's slab, which optimizers know: they are replaced, not the tensor.
    Tensor value = model.parameters()[i].value();
    const Tensor given = weights.read(expected[i].name).to(value.dtype());
    std::memcpy(value.raw(), given.raw(), given.bytes());
  }
}

void export_pretrained(const ModelSpec& spec, const Model& model, const std::string& folder) {
  const PretrainedFormat& format = format_for(spec);
  const nlohmann::ordered_json config = config_of(format, spec, model);
  std::vector<NamedTensor> tensors;
  for (const Parameter& parameter : model.parameters()) {
    tensors.emplace_back(format.names.theirs(parameter.spec().name), parameter.value());
  }
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Error("cannot make the folder '{}': {}", folder, error.message());
  // Readers ask for this note before they take the file.
  write_tensors(fs::path(folder) / "model.safetensors", tensors, {{"format", "pt"}});
  write_file_atomically(fs::path(folder) / "config.json", config.dump(2) + "\n");
}

}  // namespace zoo
