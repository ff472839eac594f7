#include "zoo/nn/parameter.h"

namespace zoo {

namespace {

void draw(const ParameterSpec& spec, std::uint64_t seed, const Initialization& roles, std::span<double> values) {
  RandomStream random(RandomKey::of(seed, "parameter/" + spec.name));
  const auto normal = [&](double deviation) {
    for (double& value : values) value = deviation * random.normal();
  };
  const Initializer& initializer = spec.initializer;
  switch (initializer.kind()) {
    case Initializer::Kind::linear_weight:
      return normal(roles.linear_weight);
    case Initializer::Kind::output_projection:
      return normal(roles.output_projection);
    case Initializer::Kind::embedding:
      return normal(roles.embedding);
    case Initializer::Kind::constant:
      std::ranges::fill(values, initializer.value());
      return;
    case Initializer::Kind::normal:
      return normal(initializer.value());
    case Initializer::Kind::uniform:
      for (double& value : values) value = initializer.value() * (2 * random.uniform() - 1);
      return;
    case Initializer::Kind::custom:
      initializer.fill()(values, random);
      return;
  }
}

}  // namespace

Tensor allocate(const Parameters& parameters, DType dtype) {
  Tensor slab = Tensor::zeros({count_values(parameters)}, dtype);
  std::int64_t offset = 0;
  for (const Parameter& parameter : parameters) {
    const Shape& shape = parameter.spec().shape;
    parameter.set_value(slab.rows(offset, shape.size()).view(shape).variable());
    offset += shape.size();
  }
  return slab;
}

Tensor initialize(const Parameters& parameters, std::uint64_t seed, const Initialization& roles, DType dtype) {
  Tensor slab = allocate(parameters, dtype);
  std::vector<double> values;
  for (const Parameter& parameter : parameters) {
    const Shape& shape = parameter.spec().shape;
    values.assign(static_cast<std::size_t>(shape.size()), 0);
    draw(parameter.spec(), seed, roles, values);
    Tensor part = parameter.value();
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (dtype == DType::f64) {
        part.data<double>()[i] = values[i];
      } else {
        part.data<float>()[i] = static_cast<float>(values[i]);
      }
    }
  }
  return slab;
}

std::int64_t count_values(const Parameters& parameters) {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters) count += parameter.spec().shape.size();
  return count;
}

}  // namespace zoo
