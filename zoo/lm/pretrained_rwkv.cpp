#include <algorithm>

#include "zoo/lm/pretrained_format.h"

namespace zoo {
namespace {

// transformers' Rwkv, which is RWKV-4.

void read(PublicConfig& config, ModelSpec& spec) {
  constexpr double most = 1 << 20;
  spec.layer = "rwkv4";
  spec.layer_options["rwkv4"] = {{"hidden", config.integer("attention_hidden_size", spec.d_model, public_widths)}};
  spec.backbone = "rwkv";
  spec.backbone_options = {
      {"norm_eps", config.real("layer_norm_epsilon", 1e-5, {0, 1})},
      // Zero and less mean never.
      {"rescale_every", std::max<std::int64_t>(0, config.integer("rescale_every", 6, {-most, most}))}};
  spec.feed_forward_options = {{"hidden", config.integer("intermediate_size", 4 * spec.d_model, public_widths)}};
  spec.max_length = config.integer("context_length", 1024, public_counts);
}

nlohmann::ordered_json write(ExportedModel& model) {
  return {{"context_length", model.spec.max_length},
          {"attention_hidden_size", model.extent("mixer.key.weight", 0)},
          {"intermediate_size", model.extent("feed_forward.key.weight", 0)},
          {"layer_norm_epsilon", model.backbone.real("norm_eps")},
          {"rescale_every", model.backbone.integer("rescale_every")}};
}

const RegisterPretrained rwkv(
    {.name = "rwkv",
     .architecture = "RwkvForCausalLM",
     .layers = {"rwkv4"},
     .backbones = {"rwkv"},
     .feed_forward = "rwkv_channel_mix",
     .names = {.blocks = "rwkv.blocks.",
               .in_block = {{"mixer.", "attention."},
                            {"feed_forward.", "feed_forward."},
                            {"ln0.", "pre_ln."},
                            {"ln1.", "ln1."},
                            {"ln2.", "ln2."}},
               .outside = {{"embedding.", "rwkv.embeddings."}, {"ln_out.", "rwkv.ln_out."}, {"head.", "head."}}},
     .read = read,
     .write = write});

}  // namespace
}  // namespace zoo
