#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "zoo/core/task.h"
#include "zoo/nn/backbone.h"
#include "zoo/nn/head.h"
#include "zoo/nn/linear.h"

namespace zoo {

/// Everything that decides a model's shape.
struct ModelSpec {
  std::string layer;                                        ///< a layer's name, or a hybrid "base_conv+attention"
  nlohmann::json layer_options = nlohmann::json::object();  ///< {"attention": {"heads": 2}}: see options_of_part
  std::string backbone = "recall";
  nlohmann::json backbone_options = nlohmann::json::object();
  std::string feed_forward = "none";
  nlohmann::json feed_forward_options = nlohmann::json::object();
  std::int64_t blocks = 2;
  std::int64_t d_model = 64;
  std::int64_t vocab_size = 0;      ///< of the inputs; 0 when they are real
  std::int64_t input_channels = 0;  ///< C of real inputs; 0 when they are tokens
  std::int64_t max_length = 0;      ///< the longest sequence it will see
  HeadSpec head = {};               ///< without outputs: a language model's, over vocab_size
  bool tied_head = true;            ///< a language model's head reads with the embedding
};

/// The parts of a hybrid's name, checked against the registry: "a+b" gives {a, b}; block i uses part i mod n. Throws
/// UsageError for an unknown or empty name.
std::vector<std::string> layer_parts(const std::string& layer);

/// The options that part `index` (from 0) of a hybrid is given: what `layer_options` holds under its name and number,
/// "base_conv#2" for the second part, or else under its name alone; an empty object when neither is there.
nlohmann::json options_of_part(const nlohmann::json& layer_options, const std::vector<std::string>& parts,
                               std::size_t index);
/// The key of layer_options for one part alone: "base_conv#2" for index 1.
std::string numbered_part(const std::string& name, std::size_t index);

/// A sequence model: embedding of tokens (with learned positions where the layer asks for them) or a projection of real
/// inputs, backbone, and head.
class Model {
 public:
  /// Draws the parameters under `seed`. Throws UsageError for settings that cannot be met.
  Model(const ModelSpec& spec, std::uint64_t seed, DType dtype = DType::f32);
  /// With parameters that are zero until somebody sets them: for values that lie in a file.
  static Model zeros(const ModelSpec& spec, DType dtype = DType::f32);
  /// The parameters that a model has, without memory for their values.
  static Parameters declared(const ModelSpec& spec);

  const Parameters& parameters() const { return parameters_; }
  /// The values of all parameters, in order: what the optimizer updates and a checkpoint keeps.
  Tensor& slab() { return slab_; }

  ModelState initial_state(std::int64_t batch) const;
  /// What the head reads, from tokens i32 [B,T] or real inputs [B,T,C]: [B,T,D], or [R,D] when context.rows is set;
  /// advances the state.
  Tensor forward(const Tensor& inputs, ModelState& state, const Context& context) const;
  const Head& head() const { return head_; }

 private:
  Model() = default;
  /// Builds everything but the memory of the parameters; returns the distributions that they start from.
  Initialization declare(const ModelSpec& spec);

  Parameters parameters_;
  Parameter embedding_;
  Linear input_;         // of real inputs, instead of an embedding
  Parameter positions_;  // undefined unless the layer asks for them
  std::vector<Layer*> mixers_;
  std::vector<Layer*> feed_forwards_;
  std::unique_ptr<Backbone> backbone_;
  Head head_;
  Tensor slab_;
};

}  // namespace zoo
