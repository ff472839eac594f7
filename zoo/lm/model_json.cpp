#include "zoo/io/record_reader.h"
#include "zoo/lm/checkpoint.h"

namespace zoo {

nlohmann::json model_json(const ModelSpec& spec) {
  return {{"layer", spec.layer},
          {"layer_options", spec.layer_options},
          {"backbone", spec.backbone},
          {"backbone_options", spec.backbone_options},
          {"feed_forward", spec.feed_forward},
          {"feed_forward_options", spec.feed_forward_options},
          {"blocks", spec.blocks},
          {"d_model", spec.d_model},
          {"vocab_size", spec.vocab_size},
          {"max_length", spec.max_length},
          {"tied_head", spec.tied_head}};
}

ModelSpec model_from_json(const nlohmann::json& object) {
  RecordReader reader(object, "model");
  ModelSpec spec;
  spec.layer = reader.get<std::string>("layer");
  spec.layer_options = reader.raw("layer_options");
  spec.backbone = reader.get<std::string>("backbone");
  spec.backbone_options = reader.raw("backbone_options");
  spec.feed_forward = reader.get<std::string>("feed_forward");
  spec.feed_forward_options = reader.raw("feed_forward_options");
  spec.blocks = reader.get<std::int64_t>("blocks");
  spec.d_model = reader.get<std::int64_t>("d_model");
  spec.vocab_size = reader.get<std::int64_t>("vocab_size");
  spec.max_length = reader.get<std::int64_t>("max_length");
  spec.tied_head = reader.get<bool>("tied_head");
  reader.finish();
  return spec;
}

}  // namespace zoo
