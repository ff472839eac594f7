#include <cmath>

#include "zoo/lm/pretrained_format.h"

namespace zoo {
namespace {

// transformers' Mamba2. Its chunk_size is a way of computing; time_step_min, time_step_max and the like say how
// parameters start.

// A dt_max of 0 is none; in config.json, which has no infinity, a number next to which no step is long.
constexpr double unlimited = 1e9;

// The shortest and the longest step, 0 for none.
void read_limits(PublicConfig& config, nlohmann::json& options) {
  const nlohmann::json* limits = config.find("time_step_limit");
  if (limits == nullptr) return;
  if (!limits->is_array() || limits->size() != 2) {
    config.refuse("time_step_limit", "expected the shortest and the longest step, [0.0, Infinity]");
    return;
  }
  const double least = PublicConfig::number(limits->at(0)), most = PublicConfig::number(limits->at(1));
  if (!(least >= 0 && least < unlimited && most > 0 && least <= most)) {
    config.refuse("time_step_limit", "expected numbers of at least 0, the smaller first, and the second above 0");
    return;
  }
  options["dt_min"] = least;
  options["dt_max"] = most < unlimited ? most : 0;
}

void read(PublicConfig& config, ModelSpec& spec) {
  config.require_text("hidden_act", "silu", {"silu", "swish"});
  if (!config.flag("rms_norm", true)) config.refuse("rms_norm", "supported is true: a norm before the last projection");
  if (config.flag("norm_before_gate", false)) config.refuse("norm_before_gate", "supported is false");
  const std::int64_t expand = config.integer("expand", 2, {1, 64});
  const std::int64_t heads = config.integer("num_heads", 128, public_widths);
  const std::int64_t head_dim = config.integer("head_dim", 64, {1, 4096});
  if (expand * spec.d_model != heads * head_dim) {
    config.refuse("num_heads", "times head_dim {} it must be hidden_size {} times expand {}", head_dim, spec.d_model,
                  expand);
  }
  const double epsilon = config.real("layer_norm_epsilon", 1e-5, {0, 1});
  nlohmann::json options = {{"state", config.integer("state_size", 128, {1, 4096})},
                            {"expand", expand},
                            {"head_dim", head_dim},
                            {"groups", config.integer("n_groups", 8, {1, 1024})},
                            {"conv_kernel", config.integer("conv_kernel", 4, {1, 256})},
                            {"bias", config.flag("use_bias", false)},
                            {"conv_bias", config.flag("use_conv_bias", true)},
                            {"norm_eps", epsilon}};
  read_limits(config, options);
  spec.layer = "mamba2";
  spec.layer_options["mamba2"] = options;
  spec.backbone = "mamba";
  spec.backbone_options["norm_eps"] = epsilon;
}

nlohmann::ordered_json write(ExportedModel& model) {
  const std::int64_t before = model.backbone.integer("conv_kernel");
  model.require(before == 0, "backbone mamba has a convolution of {} taps before every layer, Mamba2 has none", before);
  const double epsilon = model.layer.real("norm_eps"), outside = model.backbone.real("norm_eps");
  model.require(epsilon == outside,
                "the norms of layer mamba2 and of the backbone have epsilons {} and {}; Mamba2 has "
                "one for both",
                epsilon, outside);
  const double least = model.layer.real("dt_min"), most = model.layer.real("dt_max");
  nlohmann::ordered_json config = {{"state_size", model.layer.integer("state")},
                                   {"expand", model.layer.integer("expand")},
                                   {"num_heads", model.extent("mixer.dt_bias", 0)},
                                   {"head_dim", model.layer.integer("head_dim")},
                                   {"n_groups", model.layer.integer("groups")},
                                   {"conv_kernel", model.layer.integer("conv_kernel")},
                                   {"use_bias", model.layer.boolean("bias")},
                                   {"use_conv_bias", model.layer.boolean("conv_bias")},
                                   {"hidden_act", "silu"},
                                   {"layer_norm_epsilon", epsilon}};
  if (least > 0 || most > 0) config["time_step_limit"] = {least, most > 0 ? most : unlimited};
  return config;
}

const RegisterPretrained mamba2({.name = "mamba2",
                                 .architecture = "Mamba2ForCausalLM",
                                 .layers = {"mamba2"},
                                 .backbones = {"mamba"},
                                 .feed_forward = "none",
                                 .names = {.blocks = "backbone.layers.",
                                           .in_block = {{"mixer.", "mixer."}, {"norm.", "norm."}},
                                           .outside = {{"embedding.", "backbone.embeddings."},
                                                       {"norm_f.", "backbone.norm_f."},
                                                       {"head.", "lm_head."}}},
                                 .read = read,
                                 .write = write});

}  // namespace
}  // namespace zoo
