#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "zoo/core/random.h"
#include "zoo/core/tensor.h"

namespace zoo {

/// How a parameter starts. The first three are roles, whose distribution the backbone decides (its `Initialization`);
/// the others are the layer's own.
class Initializer {
 public:
  enum class Kind { linear_weight, output_projection, embedding, constant, normal, uniform, custom };
  /// Fills the values, row-major, in order.
  using Fill = std::function<void(std::span<double> values, RandomStream& random)>;

  static Initializer linear_weight() { return Initializer(Kind::linear_weight); }
  static Initializer output_projection() { return Initializer(Kind::output_projection); }
  static Initializer embedding() { return Initializer(Kind::embedding); }
  static Initializer constant(double value) { return Initializer(Kind::constant, value); }
  static Initializer normal(double deviation) { return Initializer(Kind::normal, deviation); }
  /// U(-bound, bound)
  static Initializer uniform(double bound) { return Initializer(Kind::uniform, bound); }
  static Initializer custom(Fill fill) { return Initializer(Kind::custom, 0, std::move(fill)); }

  Kind kind() const { return kind_; }
  double value() const { return value_; }
  const Fill& fill() const { return fill_; }

 private:
  explicit Initializer(Kind kind, double value = 0, Fill fill = {})
      : kind_(kind), value_(value), fill_(std::move(fill)) {}
  Kind kind_;
  double value_;
  Fill fill_;
};

/// Distributions of the roles: standard deviations of N(0, s) draws.
struct Initialization {
  double linear_weight = 0.02;
  double output_projection = 0.02;
  double embedding = 0.02;
};

struct ParameterSpec {
  std::string name;  ///< full: "blocks.0.mixer.q_proj.weight"
  Shape shape;
  Initializer initializer;
  bool decay = true;  ///< whether weight decay applies
  double learning_rate_factor = 1;
};

/// A trained tensor: a handle shared by the layer that uses it and the model that owns its memory.
class Parameter {
 public:
  Parameter() = default;
  explicit Parameter(ParameterSpec spec) : shared_(std::make_shared<Shared>(Shared{std::move(spec), Tensor{}})) {}

  const ParameterSpec& spec() const { return shared_->spec; }
  const Tensor& value() const { return shared_->value; }
  operator const Tensor&() const { return value(); }  // NOLINT(google-explicit-constructor): a parameter is its tensor
  void set_value(Tensor value) const { shared_->value = std::move(value); }
  bool defined() const { return shared_ != nullptr; }

 private:
  struct Shared {
    ParameterSpec spec;
    Tensor value;
  };
  std::shared_ptr<Shared> shared_;
};

/// The parameters of a layer or a model in the order of their declaration.
using Parameters = std::vector<Parameter>;

/// Memory for all, as views of one slab in order, each a variable of the tape, zero. Returns the slab [n].
Tensor allocate(const Parameters& parameters, DType dtype = DType::f32);
/// Memory for all, as views of one slab in order, each a variable of the tape; values drawn under `seed`, each
/// parameter from its own stream by name, so that adding one does not change another. Returns the slab [n].
Tensor initialize(const Parameters& parameters, std::uint64_t seed, const Initialization& roles = {},
                  DType dtype = DType::f32);
/// The number of trained values.
std::int64_t count_values(const Parameters& parameters);

}  // namespace zoo
