#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/nn/layer.h"

namespace zoo::check {

/// One test case under one seed: what a check is run on.
struct Trial {
  const LayerEntry* entry;
  const LayerCase* layer_case;
  std::uint64_t seed;

  std::int64_t d_model() const { return layer_case->d_model; }
  /// The key of a check's random numbers for one purpose.
  RandomKey key(std::string_view purpose) const { return RandomKey::of(seed, "check/" + std::string(purpose)); }
  /// [batch, length, d_model], N(0, 1) rounded to float32, so that both precisions see the same numbers.
  Tensor input(std::string_view purpose, std::int64_t batch, std::int64_t length, DType dtype) const;
};

/// How a layer under test is built.
struct SubjectSettings {
  DType dtype = DType::f32;
  /// Builder::max_length. Not larger than needed: an implicit filter that is stretched over it should vary.
  std::int64_t max_length = 256;
  /// Whether weights are drawn so large that every nonlinearity takes part (gates neither at rest nor saturated, scores
  /// of order 1), and all other parameters are moved off the special values they begin at. Otherwise as training
  /// begins.
  bool lively = true;
  /// Added to the trial's seed for the parameters.
  std::uint64_t draw = 0;
};

/// A layer with parameters of its own. Their values are multiples of float32's grid in either precision.
class Subject {
 public:
  explicit Subject(const Trial& trial, const SubjectSettings& settings = {});

  Layer& layer() const { return *layer_; }
  DType dtype() const { return slab_.dtype(); }
  const Parameters& parameters() const { return parameters_; }
  /// The parameters' values, in order, as variables of the tape.
  Tensors variables() const;
  /// Memory of all parameters; the layer sees what is written here.
  Tensor& slab() { return slab_; }
  /// Where parameter `index` begins in the slab.
  std::int64_t offset(std::size_t index) const;

 private:
  Parameters parameters_;
  std::unique_ptr<Layer> layer_;
  Tensor slab_;
};

/// Positions [begin, end) of x [B,T,...], off the tape.
Tensor positions(const Tensor& x, std::int64_t begin, std::int64_t end);
/// Chunks [B,t,...] side by side, off the tape.
Tensor join_positions(std::span<const Tensor> chunks);
/// Rows `indices` of x [N,...], off the tape.
Tensor take(const Tensor& x, std::span<const std::int32_t> indices);

/// N(0, 1) rounded to float32.
Tensor draw_normal(RandomKey key, const Shape& shape, DType dtype);

}  // namespace zoo::check
