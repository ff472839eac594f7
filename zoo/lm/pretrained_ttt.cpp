#include "zoo/lm/pretrained_format.h"

namespace zoo {
namespace {

// The TTT authors' release (ttt-lm-pytorch): TTT-Linear or TTT-MLP with SwiGLU. With pre_conv a convolution stands
// before every layer, which is the Mamba backbone of ours with a feed-forward.

void read(PublicConfig& config, ModelSpec& spec) {
  config.require_text("hidden_act", "silu", {"silu", "swish"});
  config.require_text("ttt_layer_type", "linear", {"linear", "mlp"});
  const bool before = config.flag("pre_conv", false);
  const std::int64_t kernel = config.integer("conv_kernel", 4, {1, 4096});
  spec.layer = config.text("ttt_layer_type", "linear") == "mlp" ? "ttt_mlp" : "ttt_linear";
  spec.layer_options[spec.layer] = {{"heads", config.integer("num_attention_heads", 32, {1, 1024})},
                                    {"mini_batch", config.integer("mini_batch_size", 16, {1, 4096})},
                                    {"base_lr", config.real("ttt_base_lr", 1, {0, 1e6})},
                                    {"gate", config.flag("use_gate", false)},
                                    {"share_qk", config.flag("share_qk", false)},
                                    {"conv_kernel", kernel},
                                    {"rope_base", config.rope_theta()}};
  const double epsilon = config.real("rms_norm_eps", 1e-6, {0, 1});
  spec.backbone = before ? "mamba" : "transformer";
  spec.backbone_options["norm_eps"] = epsilon;
  if (before) {
    spec.backbone_options["conv_norm_eps"] = epsilon;
    spec.backbone_options["conv_kernel"] = kernel;
  }
  spec.feed_forward_options = {{"hidden", config.integer("intermediate_size", 5504, public_widths)}};
  spec.max_length = config.integer("max_position_embeddings", 2048, public_counts);
}

nlohmann::ordered_json write(ExportedModel& model) {
  const Options& layer = model.layer;
  model.require(layer.real("rope_base") >= 1, "layer {} has no rotary positions, TTT's release has", model.spec.layer);
  model.require(!model.feed_forward.boolean("bias"), "feed-forward swiglu has biases, TTT's release has none");
  const double epsilon = model.backbone.real("norm_eps");
  const std::int64_t kernel = layer.integer("conv_kernel");
  bool before = false;
  if (model.spec.backbone == "mamba") {
    const std::int64_t taps = model.backbone.integer("conv_kernel");
    before = taps > 0 || layer.boolean("share_qk");
    model.require(taps == 0 || taps == kernel,
                  "the convolutions before and in layer {} have {} and {} taps, TTT's "
                  "release has one number for both",
                  model.spec.layer, taps, kernel);
    const double before_epsilon = model.backbone.real("conv_norm_eps");
    model.require(!before || before_epsilon == epsilon,
                  "norms have epsilons {} and, before the convolution, {}; TTT's "
                  "release has one for both",
                  epsilon, before_epsilon);
  }
  return {{"intermediate_size", model.extent("feed_forward.gate_proj.weight", 0)},
          {"num_attention_heads", layer.integer("heads")},
          {"hidden_act", "silu"},
          {"max_position_embeddings", model.spec.max_length},
          {"rms_norm_eps", epsilon},
          {"rope_theta", layer.real("rope_base")},
          {"ttt_layer_type", model.spec.layer == "ttt_mlp" ? "mlp" : "linear"},
          {"ttt_base_lr", layer.real("base_lr")},
          {"mini_batch_size", layer.integer("mini_batch")},
          {"use_gate", layer.boolean("gate")},
          {"share_qk", layer.boolean("share_qk")},
          {"pre_conv", before},
          {"conv_kernel", kernel}};
}

const RegisterPretrained ttt(
    {.name = "ttt",
     .architecture = "TTTForCausalLM",
     .layers = {"ttt_linear", "ttt_mlp"},
     .backbones = {"transformer", "mamba"},
     .feed_forward = "swiglu",
     .tied_by_default = true,
     .names = {.blocks = "model.layers.",
               .in_block = {{"mixer.", "seq_modeling_block."},
                            {"feed_forward.", "mlp."},
                            {"conv.", "conv."},
                            {"norm1.", "seq_norm."},
                            {"norm.", "seq_norm."},
                            {"norm2.", "ffn_norm."}},
               .outside = {{"embedding.", "model.embed_tokens."}, {"norm_f.", "model.norm."}, {"head.", "lm_head."}}},
     .ignored = {".rotary_emb.inv_freq"},
     .read = read,
     .write = write});

}  // namespace
}  // namespace zoo
