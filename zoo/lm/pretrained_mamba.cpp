#include "zoo/lm/pretrained_format.h"

namespace zoo {
namespace {

// transformers' Mamba. Its time_step_min, time_step_max and the like say how parameters start.

void read(PublicConfig& config, ModelSpec& spec) {
  config.require_text("hidden_act", "silu", {"silu", "swish"});
  const nlohmann::json* rank = config.find("time_step_rank");
  const bool automatic = rank == nullptr || *rank == "auto";
  spec.layer = "mamba";
  spec.layer_options["mamba"] = {
      {"state", config.integer("state_size", 16, {1, 4096})},
      {"expand", config.integer("expand", 2, {1, 64})},
      {"conv_kernel", config.integer("conv_kernel", 4, {1, 4096})},
      {"dt_rank", automatic ? 0 : config.integer("time_step_rank", 1, {1, 1 << 20})},
      {"bias", config.flag("use_bias", false)},
      {"conv_bias", config.flag("use_conv_bias", true)},
  };
  spec.backbone = "mamba";
  spec.backbone_options["norm_eps"] = config.real("layer_norm_epsilon", 1e-5, {0, 1});
}

nlohmann::ordered_json write(ExportedModel& model) {
  const std::int64_t before = model.backbone.integer("conv_kernel");
  model.require(before == 0, "backbone mamba has a convolution of {} taps before every layer, Mamba has none", before);
  const std::int64_t expand = model.layer.integer("expand");
  return {{"state_size", model.layer.integer("state")},
          {"expand", expand},
          {"intermediate_size", expand * model.spec.d_model},
          {"conv_kernel", model.layer.integer("conv_kernel")},
          {"time_step_rank", model.extent("mixer.dt_proj.weight", 1)},
          {"use_bias", model.layer.boolean("bias")},
          {"use_conv_bias", model.layer.boolean("conv_bias")},
          {"hidden_act", "silu"},
          {"layer_norm_epsilon", model.backbone.real("norm_eps")}};
}

const RegisterPretrained mamba({.name = "mamba",
                                .architecture = "MambaForCausalLM",
                                .layers = {"mamba"},
                                .backbones = {"mamba"},
                                .feed_forward = "none",
                                .tied_by_default = true,
                                .names = {.blocks = "backbone.layers.",
                                          .in_block = {{"mixer.", "mixer."}, {"norm.", "norm."}},
                                          .outside = {{"embedding.", "backbone.embeddings."},
                                                      {"norm_f.", "backbone.norm_f."},
                                                      {"head.", "lm_head."}}},
                                .read = read,
                                .write = write});

}  // namespace
}  // namespace zoo
