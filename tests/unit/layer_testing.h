#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "zoo/nn/layer.h"
#include "zoo/ops/ops.h"

namespace zoo::testing_support {

/// A layer from the registry with parameters of its own, drawn by name: two layers of one seed whose parameters have
/// the same names hold the same values.
struct OwnedLayer {
  Options options;
  Parameters parameters;
  std::unique_ptr<Layer> layer;

  /// The value of the parameter of that name.
  Tensor value(std::string_view name) const {
    for (const Parameter& parameter : parameters) {
      if (parameter.spec().name == name) return parameter.value();
    }
    ADD_FAILURE() << "no parameter " << name;
    return {};
  }
  Tensors values() const {
    Tensors result;
    for (const Parameter& parameter : parameters) result.push_back(parameter.value());
    return result;
  }
  /// y of a whole sequence.
  Tensor operator()(const Tensor& x, const Context& context = {}) const {
    State state = layer->initial_state(x.dim(0));
    return run(*layer, x, state, context);
  }
};

inline OwnedLayer make_layer(std::string_view name, std::int64_t d_model, const nlohmann::json& options = {},
                             DType dtype = DType::f64, std::int64_t max_length = 2048) {
  const LayerEntry& entry = layer_registry().get(name);
  OwnedLayer result;
  result.options =
      Options(entry.options, options.is_null() ? nlohmann::json::object() : options, "layer " + std::string(name));
  Builder builder(d_model, result.options, result.parameters);
  builder.max_length = max_length;
  result.layer = entry.make(builder);
  // Wide enough that softmaxes are far from uniform.
  initialize(result.parameters, 1, {.linear_weight = 0.5, .output_projection = 0.5}, dtype);
  return result;
}

/// N(0, 1), the same for the same seed.
inline Tensor normal(const Shape& shape, std::uint64_t seed, DType dtype = DType::f64) {
  Tensor result = Tensor::empty(shape, DType::f64);
  RandomStream stream(RandomKey::of(seed, "test"));
  for (std::int64_t i = 0; i < result.size(); ++i) result.data<double>()[i] = stream.normal();
  return result.to(dtype);
}

/// Whole numbers from -bound to bound.
inline Tensor whole(const Shape& shape, std::uint64_t seed, std::int64_t bound, DType dtype) {
  Tensor result = Tensor::empty(shape, DType::f64);
  RandomStream stream(RandomKey::of(seed, "test"));
  for (std::int64_t i = 0; i < result.size(); ++i) {
    result.data<double>()[i] =
        static_cast<double>(stream.below(static_cast<std::uint64_t>(2 * bound + 1))) - static_cast<double>(bound);
  }
  return result.to(dtype);
}

/// The element at these indices.
inline double at(const Tensor& x, std::initializer_list<std::int64_t> indices) {
  std::int64_t offset = 0;
  int axis = 0;
  for (const std::int64_t index : indices) offset = offset * x.dim(axis++) + index;
  return x.dtype() == DType::f32 ? x.data<float>()[offset] : x.data<double>()[offset];
}

/// The largest absolute difference; infinity for NaN or different shapes.
inline double distance(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return INFINITY;
  const Tensor a64 = a.to(DType::f64), b64 = b.to(DType::f64);
  double largest = 0;
  for (std::int64_t i = 0; i < a64.size(); ++i) {
    const double difference = std::abs(a64.data<double>()[i] - b64.data<double>()[i]);
    if (!(difference <= largest)) largest = std::isnan(difference) ? INFINITY : difference;
  }
  return largest;
}

/// Some rows of a batch of sequences of length T, at the flattened positions given.
inline Rows rows_at(std::int64_t batch, std::int64_t T, const std::vector<std::int32_t>& indices) {
  std::vector<std::int32_t> offsets = {0};
  for (std::int64_t b = 0; b < batch; ++b) {
    std::int32_t end = offsets.back();
    while (end < static_cast<std::int32_t>(indices.size()) && indices[static_cast<std::size_t>(end)] < (b + 1) * T)
      ++end;
    offsets.push_back(end);
  }
  return {Tensor::from<std::int32_t>({static_cast<std::int64_t>(indices.size())}, indices),
          Tensor::from<std::int32_t>({batch + 1}, offsets)};
}

/// y of a sequence given in chunks of the lengths given, and the state behind it.
inline std::pair<Tensor, State> in_chunks(const OwnedLayer& owned, const Tensor& x,
                                          std::initializer_list<std::int64_t> lengths) {
  State state = owned.layer->initial_state(x.dim(0));
  Tensors parts;
  std::int64_t begin = 0;
  for (const std::int64_t length : lengths) {
    parts.push_back(run(*owned.layer, ops::slice(x, 1, begin, begin + length), state));
    begin += length;
  }
  return {ops::concat(parts, 1), state};
}

}  // namespace zoo::testing_support
