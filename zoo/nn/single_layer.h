#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "zoo/nn/layer.h"

namespace zoo {

/// The layer or feed-forward of that name; throws UsageError with the nearest name for one that is not there.
const LayerEntry& find_layer_entry(const std::string& name);

/// A layer or feed-forward outside of a model, with parameters of its own. They have no values until somebody sets
/// them: initialize() draws them, Parameter::set_value() takes given ones.
struct SingleLayer {
  Options options;
  Parameters parameters;
  std::unique_ptr<Layer> layer;
};

/// Builds the only block of a model of one. Throws UsageError for options that the layer does not take or cannot meet.
SingleLayer make_single_layer(const LayerEntry& entry, std::int64_t d_model, const nlohmann::json& options,
                              std::int64_t max_length = 2048);

/// What a layer makes of a sequence, off the tape.
struct LayerResult {
  Tensor y;                 ///< [B,T,D]
  Tensor dx;                ///< [B,T,D]; undefined without gradients
  Tensors parameter_grads;  ///< in the order of the parameters; empty without gradients
};

/// Puts x [B,T,D] through the layer from its initial state, cut into chunks of these lengths, whose sum is T. When dy
/// [B,T,D] is defined, also the gradients of sum(y * dy) with respect to x and every parameter, through the states
/// between the chunks; a gradient that does not exist is zero. Training is over (Context::progress is 1) and dropout
/// off.
LayerResult evaluate(const SingleLayer& single, const Tensor& x, const Tensor& dy,
                     std::span<const std::int64_t> chunks);

}  // namespace zoo
