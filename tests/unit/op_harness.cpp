#include "op_harness.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "zoo/core/error.h"
#include "zoo/ops/ops.h"

namespace zoo::harness {

namespace {

double rounded_to_f32(double value) {
  return static_cast<float>(value);
}

double draw_real(const InputSpec& spec, RandomStream& stream) {
  if (spec.kind == InputSpec::Kind::positive) return rounded_to_f32(0.5 + 1.5 * stream.uniform());
  while (true) {
    const double value = rounded_to_f32(stream.normal());
    bool free = true;
    for (const double point : spec.avoid) free = free && std::abs(value - point) >= 0.1;
    if (free) return value;
  }
}

bool is_real(const Tensor& x) {
  return x.dtype() != DType::i32;
}

Values as_f64(std::span<const Tensor> tensors) {
  Values result;
  for (const Tensor& tensor : tensors) result.push_back(tensor.to(DType::f64).clone());
  return result;
}

Sensitivity::Size size_of_difference(const Tensor& a, const Tensor& b) {
  Sensitivity::Size size;
  double squares = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a.data<double>()[i] - b.data<double>()[i]);
    size.largest = std::max(size.largest, difference);
    squares += difference * difference;
  }
  if (a.size() > 0) size.rms = std::sqrt(squares / static_cast<double>(a.size()));
  return size;
}

Sensitivity::Size size_of(const Tensor& a) {
  return size_of_difference(a, Tensor::zeros(a.shape(), DType::f64));
}

// Each value times 1 + 2^-24 or 1 - 2^-24.
Values perturbed(const Values& values, RandomStream& stream) {
  Values result;
  for (const Tensor& tensor : values) {
    result.push_back(tensor.clone());
    if (!is_real(tensor)) continue;
    double* data = result.back().data<double>();
    for (std::int64_t i = 0; i < tensor.size(); ++i) data[i] *= 1 + (stream.next_u32() % 2 == 0 ? 0x1p-24 : -0x1p-24);
  }
  return result;
}

void widen(std::vector<Sensitivity::Size>& sizes, const Values& a, const Values& b) {
  sizes.resize(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto size = size_of_difference(a[i], b[i]);
    sizes[i].largest = std::max(sizes[i].largest, size.largest);
    sizes[i].rms = std::max(sizes[i].rms, size.rms);
  }
}

void expect_each_close(const char* what, const Values& actual, const Values& expected,
                       const std::vector<Sensitivity::Size>& allowed, double epsilon, double factor) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    ASSERT_EQ(actual[i].shape(), expected[i].shape()) << what << ' ' << i;
    const auto difference = size_of_difference(actual[i], expected[i]);
    const auto scale = size_of(expected[i]);
    const double relative = epsilon / 0x1p-24;  // sensitivities were measured with f32's rounding
    EXPECT_LE(difference.rms, factor * (relative * allowed[i].rms + epsilon * scale.rms)) << what << ' ' << i;
    EXPECT_LE(difference.largest, factor * (relative * allowed[i].largest + epsilon * scale.largest))
        << what << ' ' << i;
    for (std::int64_t k = 0; k < actual[i].size(); ++k) {
      ASSERT_FALSE(std::isnan(actual[i].data<double>()[k])) << what << ' ' << i << ", element " << k;
    }
  }
}

}  // namespace

std::uint64_t seed() {
  const char* given = std::getenv("ZOO_TEST_SEED");
  return given == nullptr ? 1 : std::strtoull(given, nullptr, 10);
}

std::string where_am_i(const OpEntry& op, const OpCase& c) {
  return fmt::format("op {}, case '{}'; repeat with ZOO_TEST_SEED={} zoo_unit_tests --gtest_filter='*/{}'", op.name,
                     c.name, seed(), op.name);
}

RandomKey key_of(const OpEntry& op, const OpCase& c) {
  return RandomKey::of(seed(), fmt::format("{}/{}", op.name, c.name));
}

Values draw_inputs(const OpCase& c, RandomKey key) {
  Values inputs;
  for (const InputSpec& spec : c.inputs) {
    RandomStream stream(key.fold(inputs.size()));
    if (spec.kind == InputSpec::Kind::index) {
      Tensor input = Tensor::empty(spec.shape, DType::i32);
      for (std::int64_t i = 0; i < input.size(); ++i) {
        input.data<std::int32_t>()[i] = static_cast<std::int32_t>(stream.below(static_cast<std::uint64_t>(spec.bound)));
      }
      inputs.push_back(input);
    } else {
      Tensor input = Tensor::empty(spec.shape, DType::f64);
      for (std::int64_t i = 0; i < input.size(); ++i) input.data<double>()[i] = draw_real(spec, stream);
      inputs.push_back(input);
    }
  }
  return inputs;
}

Tensor draw_normal(const Shape& shape, RandomKey key) {
  Tensor result = Tensor::empty(shape, DType::f64);
  RandomStream stream(key);
  for (std::int64_t i = 0; i < result.size(); ++i) result.data<double>()[i] = rounded_to_f32(stream.normal());
  return result;
}

Values in_dtype(const Values& values, DType dtype) {
  Values result;
  for (const Tensor& value : values) result.push_back(is_real(value) ? value.to(dtype) : value);
  return result;
}

Values draw_cotangents(const OpCase& c, const Values& inputs, RandomKey key) {
  const NoTape off;
  Values cotangents;
  for (const Tensor& output : c.call(inputs)) {
    cotangents.push_back(draw_normal(output.shape(), key.fold(1000 + cotangents.size())));
  }
  return cotangents;
}

Result run(const OpCase& c, const Values& inputs, const Values& cotangents, bool create_graph) {
  Tensors given;
  Tensors variables;
  for (const Tensor& input : inputs) {
    given.push_back(is_real(input) ? input.variable() : input);
    if (is_real(input)) variables.push_back(given.back());
  }
  const Tensors outputs = c.call(given);
  Tensors reached;
  Tensors arriving;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i].requires_grad()) continue;
    reached.push_back(outputs[i]);
    arriving.push_back(cotangents[i].to(outputs[i].dtype()));
  }
  Tensors grads(variables.size());
  if (!reached.empty()) grads = grad(reached, variables, arriving, {.create_graph = create_graph});
  for (std::size_t i = 0; i < grads.size(); ++i) {
    if (!grads[i].defined()) grads[i] = Tensor::zeros(variables[i].shape(), variables[i].dtype());
  }
  return {as_f64(outputs), as_f64(grads)};
}

Loss loss(const OpCase& c, const Values& inputs, const Values& cotangents) {
  const NoTape off;
  Loss total;
  const Tensors outputs = c.call(inputs);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!is_real(outputs[i])) continue;
    for (std::int64_t k = 0; k < outputs[i].size(); ++k) {
      const double term = outputs[i].data<double>()[k] * cotangents[i].data<double>()[k];
      total.value += term;
      total.magnitude += std::abs(term);
    }
  }
  return total;
}

Sensitivity sensitivity(const OpCase& c, const Values& inputs, const Values& cotangents, RandomKey key) {
  Sensitivity result;
  const Result exact = run(c, inputs, cotangents);
  // Signs are drawn anew for each of a few, since with one number or two they may happen to cancel; with many they do
  // not.
  const bool many = std::ranges::any_of(inputs, [](const Tensor& input) { return input.size() > 20000; });
  for (std::uint64_t draw = 0; draw < (many ? 1 : 6); ++draw) {
    RandomStream stream(key.fold(2000 + draw));
    const Result off = run(c, perturbed(inputs, stream), perturbed(cotangents, stream));
    widen(result.outputs, off.outputs, exact.outputs);
    widen(result.grads, off.grads, exact.grads);
  }
  return result;
}

void expect_close(const Result& actual, const Result& expected, const Sensitivity& allowed, DType dtype,
                  double factor) {
  expect_close(actual, expected, allowed, dtype == DType::f32 ? 0x1p-24 : 0x1p-53, factor);
}

bool identical(const Result& a, const Result& b) {
  const auto same = [](const Tensor& one, const Tensor& other) {
    return one.shape() == other.shape() &&
           std::memcmp(one.values<double>().data(), other.values<double>().data(), one.bytes()) == 0;
  };
  return std::ranges::equal(a.outputs, b.outputs, same) && std::ranges::equal(a.grads, b.grads, same);
}

void expect_close(const Result& actual, const Result& expected, const Sensitivity& allowed, double epsilon,
                  double factor) {
  expect_each_close("output", actual.outputs, expected.outputs, allowed.outputs, epsilon, factor);
  expect_each_close("gradient", actual.grads, expected.grads, allowed.grads, epsilon, factor);
}

void expect_identical(const Result& actual, const Result& expected) {
  const auto expect_each = [](const char* what, const Values& a, const Values& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(a[i].shape(), b[i].shape());
      for (std::int64_t k = 0; k < a[i].size(); ++k) {
        ASSERT_EQ(std::bit_cast<std::uint64_t>(a[i].data<double>()[k]),
                  std::bit_cast<std::uint64_t>(b[i].data<double>()[k]))
            << what << ' ' << i << ", element " << k;
      }
    }
  };
  expect_each("output", actual.outputs, expected.outputs);
  expect_each("gradient", actual.grads, expected.grads);
}

}  // namespace zoo::harness
