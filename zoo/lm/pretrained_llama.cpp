#include "zoo/lm/pretrained_format.h"

namespace zoo {
namespace {

// transformers' Llama: attention with rotary positions, SwiGLU, RMSNorm.

void read(PublicConfig& config, ModelSpec& spec) {
  config.require_text("hidden_act", "silu", {"silu", "swish"});
  if (config.find("sliding_window") != nullptr) config.refuse("sliding_window", "Llama's attention sees every key");
  const std::int64_t heads = config.integer("num_attention_heads", 32, {1, 1024});
  const std::int64_t own_width = spec.d_model % heads == 0 ? spec.d_model / heads : 0;
  const std::int64_t head_dim = config.integer("head_dim", own_width, {1, 4096});
  if (head_dim == 0) config.refuse("hidden_size", "its {} heads cannot share it, and there is no head_dim", heads);
  spec.layer = "attention";
  spec.layer_options["attention"] = {{"heads", heads},
                                     {"kv_heads", config.integer("num_key_value_heads", heads, {1, 1024})},
                                     {"head_dim", head_dim == own_width ? 0 : head_dim},
                                     {"positions", "rope"},
                                     {"rope_base", config.rope_theta()},
                                     {"bias", config.flag("attention_bias", false)},
                                     {"dropout", config.real("attention_dropout", 0, {0, 0.99})}};
  spec.backbone = "transformer";
  spec.backbone_options["norm_eps"] = config.real("rms_norm_eps", 1e-6, {0, 1});
  spec.feed_forward_options = {{"hidden", config.integer("intermediate_size", 11008, public_widths)},
                               {"bias", config.flag("mlp_bias", false)}};
  spec.max_length = config.integer("max_position_embeddings", 2048, public_counts);
}

nlohmann::ordered_json write(ExportedModel& model) {
  const Options& layer = model.layer;
  const std::string& positions = layer.text("positions");
  model.require(positions == "rope", "layer attention has positions {}, Llama has rope", positions);
  model.require(layer.integer("window") == 0, "layer attention has a window of {}, Llama sees every key",
                layer.integer("window"));
  const std::int64_t heads = layer.integer("heads");
  model.require(model.spec.d_model % heads == 0, "Llama's heads divide hidden_size; {} do not divide d_model {}", heads,
                model.spec.d_model);
  const std::int64_t head_dim = model.extent("mixer.q_proj.weight", 0) / heads;
  const double theta = layer.real("rope_base");
  return {{"intermediate_size", model.extent("feed_forward.gate_proj.weight", 0)},
          {"num_attention_heads", heads},
          {"num_key_value_heads", model.extent("mixer.k_proj.weight", 0) / head_dim},
          {"head_dim", head_dim},
          {"hidden_act", "silu"},
          {"max_position_embeddings", model.spec.max_length},
          {"rms_norm_eps", model.backbone.real("norm_eps")},
          // The first is read by transformers 4, the second by 5.
          {"rope_theta", theta},
          {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", theta}}},
          {"attention_bias", layer.boolean("bias")},
          {"attention_dropout", layer.real("dropout")},
          {"mlp_bias", model.feed_forward.boolean("bias")}};
}

const RegisterPretrained llama(
    {.name = "llama",
     .architecture = "LlamaForCausalLM",
     .layers = {"attention"},
     .backbones = {"transformer"},
     .feed_forward = "swiglu",
     .names = {.blocks = "model.layers.",
               .in_block = {{"mixer.", "self_attn."},
                            {"feed_forward.", "mlp."},
                            {"norm1.", "input_layernorm."},
                            {"norm2.", "post_attention_layernorm."}},
               .outside = {{"embedding.", "model.embed_tokens."}, {"norm_f.", "model.norm."}, {"head.", "lm_head."}}},
     .ignored = {".rotary_emb.inv_freq"},
     .read = read,
     .write = write});

}  // namespace
}  // namespace zoo
