#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "layer_testing.h"
#include "zoo/core/pool.h"
#include "zoo/nn/orthogonal.h"
#include "zoo/ops/families.h"

namespace zoo {
namespace {

using namespace testing_support;

// -scale * |N(0,1)|^power: with a power of 3, decays from hardly any to that of several times the scale.
Tensor log_decays(const Shape& shape, std::uint64_t seed, double scale, double power = 1) {
  Tensor result = normal(shape, seed);
  for (std::int64_t i = 0; i < result.size(); ++i) {
    double& value = result.data<double>()[i];
    value = -scale * std::pow(std::abs(value), power);
  }
  return result;
}

enum class Form { head, channel, bonus };

struct Inputs {
  Tensors tensors;  // q, k, v, initial, log decay, bonus where there is one; float64
  Tensor dy, dstate;
};

Inputs draw(Form form, std::int64_t T, std::int64_t groups, const Tensor& log_decay) {
  const std::int64_t B = 2, H = 2, dk = 9, dv = 11;
  Inputs inputs;
  inputs.tensors = {normal({B, T, groups, dk}, 1), normal({B, T, groups, dk}, 2), normal({B, T, H, dv}, 3),
                    normal({B, H, dk, dv}, 4), log_decay};
  if (form == Form::bonus) inputs.tensors.push_back(normal({H, dk}, 6));
  inputs.dy = normal({B, T, H, dv}, 7);
  inputs.dstate = normal({B, H, dk, dv}, 8);
  return inputs;
}

// y, the state, and the gradients of all inputs.
Tensors results(const Inputs& inputs, DType dtype, bool fallback = false) {
  Tensors given;
  for (const Tensor& tensor : inputs.tensors) given.push_back(tensor.to(DType::f32).to(dtype).variable());
  const auto call = [&] {
    return ops::gated_linear_recurrence(given[0], given[1], given[2], given[3], given[4],
                                        given.size() > 5 ? given[5] : Tensor{});
  };
  ops::Recurrence recurrence;
  if (fallback) {
    const UseFallbacks on;
    recurrence = call();
  } else {
    recurrence = call();
  }
  const Tensor outputs[] = {recurrence.y, recurrence.state};
  const Tensor cotangents[] = {inputs.dy.to(DType::f32).to(dtype), inputs.dstate.to(DType::f32).to(dtype)};
  Tensors all = grad(outputs, given, cotangents);
  all.push_back(recurrence.y);
  all.push_back(recurrence.state);
  return all;
}

double relative_rms(const Tensor& actual, const Tensor& expected) {
  const Tensor a = actual.to(DType::f64), b = expected.to(DType::f64);
  double error = 0, size = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const double difference = a.data<double>()[i] - b.data<double>()[i];
    error += difference * difference;
    size += b.data<double>()[i] * b.data<double>()[i];
  }
  return error == 0 ? 0 : std::sqrt(error / size);
}

Shape decay_shape(Form form, std::int64_t T) {
  return form == Form::head ? Shape{2, T, 2} : Shape{2, T, 2, 9};
}

class GatedRecurrence : public testing::TestWithParam<Form> {};

// At 512 steps, over decays of all strengths, in float32 against float64: a relative error of 1e-5 is asked of layers,
// and 2e-6 is some thirty roundings.
TEST_P(GatedRecurrence, IsPreciseWhateverTheStrengthOfTheDecay) {
  struct Strength {
    double scale, power;
  };
  for (const auto& [scale, power] : {Strength{0.001, 1}, {0.1, 1}, {1, 1}, {8, 1}, {0.3, 3}}) {
    const Inputs inputs = draw(GetParam(), 512, 2, log_decays(decay_shape(GetParam(), 512), 5, scale, power));
    const Tensors narrow = results(inputs, DType::f32), wide = results(inputs, DType::f64);
    for (std::size_t i = 0; i < narrow.size(); ++i) {
      EXPECT_LT(relative_rms(narrow[i], wide[i]), 2e-6) << "result " << i << ", decay of scale " << scale;
    }
  }
}

// A gradient of a decay that lets e^-50 through is of that size, and right in every digit.
TEST_P(GatedRecurrence, VeryStrongDecaysAndNoneAreExact) {
  for (const double logarithm : {-50.0, 0.0}) {
    const Inputs inputs = draw(GetParam(), 70, 2, Tensor::full(decay_shape(GetParam(), 70), logarithm, DType::f64));
    const Tensors narrow = results(inputs, DType::f32), wide = results(inputs, DType::f64);
    const Tensors defined = results(inputs, DType::f64, true);
    for (std::size_t i = 0; i < narrow.size(); ++i) {
      EXPECT_LT(relative_rms(wide[i], defined[i]), 1e-13) << "result " << i << ", log decay " << logarithm;
      EXPECT_LT(relative_rms(narrow[i], wide[i]), 2e-6) << "result " << i << ", log decay " << logarithm;
    }
  }
}

TEST_P(GatedRecurrence, AStepThatForgetsAllCutsTheSequence) {
  const std::int64_t T = 50, cut = 21;
  Tensor log_decay = log_decays(decay_shape(GetParam(), T), 5, 0.1);
  const std::int64_t a_step = log_decay.size() / (2 * T);
  for (std::int64_t b = 0; b < 2; ++b) {
    for (std::int64_t i = 0; i < a_step; ++i) log_decay.data<double>()[(b * T + cut) * a_step + i] = -INFINITY;
  }
  Inputs inputs = draw(GetParam(), T, 2, log_decay);
  const std::int64_t a_row = inputs.dy.size() / (2 * T);
  for (std::int64_t b = 0; b < 2; ++b) std::fill_n(inputs.dy.data<double>() + b * T * a_row, (cut + 1) * a_row, 0.0);
  const Tensors whole = results(inputs, DType::f32);
  for (const Tensor& result : whole) {
    for (const float value : result.values<float>()) ASSERT_TRUE(std::isfinite(value));
  }
  const Tensor& dinitial = whole[3];
  EXPECT_EQ(distance(dinitial, Tensor::zeros(dinitial.shape())), 0) << "though only later outputs are asked for";
}

TEST_P(GatedRecurrence, GroupsAreRepeatedQueriesAndKeys) {
  const Inputs grouped = draw(GetParam(), 40, 1, log_decays(decay_shape(GetParam(), 40), 5, 0.2));
  Inputs repeated = grouped;
  for (std::size_t i = 0; i < 2; ++i) {
    repeated.tensors[i] = ops::concat({grouped.tensors[i], grouped.tensors[i]}, 2).detach();
  }
  const Tensors a = results(grouped, DType::f64), b = results(repeated, DType::f64);
  for (std::size_t i = 0; i < a.size(); ++i) {
    const Tensor expected = i < 2 ? ops::sum(b[i], 2, true) : b[i];
    EXPECT_LT(relative_rms(a[i], expected), 1e-14) << "result " << i;
  }
}

// What the kernels need beside inputs, outputs and gradients: states of one segment for each thread, and one state in
// some hundred steps.
TEST_P(GatedRecurrence, MemoryIsASmallMultipleOfTheInputs) {
  const std::int64_t T = 4096, d = 32;
  const Shape steps{1, T, 2, d};
  Tensors given = {normal(steps, 1, DType::f32), normal(steps, 2, DType::f32), normal(steps, 3, DType::f32),
                   Tensor::zeros({1, 2, d, d}),
                   log_decays(GetParam() == Form::head ? Shape{1, T, 2} : steps, 4, 0.1).to(DType::f32)};
  if (GetParam() == Form::bonus) given.push_back(normal({2, d}, 5, DType::f32));
  std::size_t inputs = 0;
  for (Tensor& tensor : given) {
    tensor = tensor.variable();
    inputs += tensor.bytes();
  }
  const Tensor dy = normal(steps, 6, DType::f32);
  reset_pool_peak();
  const std::size_t before = pool_statistics().bytes_in_use;
  const ops::Recurrence recurrence = ops::gated_linear_recurrence(given[0], given[1], given[2], given[3], given[4],
                                                                  given.size() > 5 ? given[5] : Tensor{});
  const Tensors gradients = grad(std::array{recurrence.y}, given, std::array{dy});
  EXPECT_LT(pool_statistics().peak_bytes_in_use - before, 2 * inputs) << "outputs, gradients and scratch; inputs apart";
}

std::string form_name(const testing::TestParamInfo<Form>& test) {
  if (test.param == Form::head) return "head";
  return test.param == Form::channel ? "channel" : "bonus";
}

INSTANTIATE_TEST_SUITE_P(All, GatedRecurrence, testing::Values(Form::head, Form::channel, Form::bonus), form_name);

TEST(GatedRecurrenceArguments, SayWhatDoesNotFit) {
  const Tensor q = Tensor::zeros({2, 5, 2, 4}), v = Tensor::zeros({2, 5, 3, 4}), state = Tensor::zeros({2, 3, 4, 4});
  EXPECT_THROW(ops::gated_linear_recurrence(q, q, v, state, Tensor::zeros({2, 5, 3})), Error) << "3 heads of 2 groups";
  const Tensor v4 = Tensor::zeros({2, 5, 4, 4}), state4 = Tensor::zeros({2, 4, 4, 4});
  EXPECT_THROW(ops::gated_linear_recurrence(q, q, v4, state4, Tensor::zeros({2, 5, 2})), Error);
  EXPECT_THROW(ops::gated_linear_recurrence(q, q, v4, state4, Tensor::zeros({2, 5, 4}), Tensor::zeros({4, 4})), Error)
      << "a bonus wants a decay of each channel";
}

TEST(Orthogonal, RowsOrColumnsAreOrthonormal) {
  for (const auto& [rows, columns] : {std::pair{5, 5}, {9, 4}, {3, 8}}) {
    const Parameter parameter({.name = "w", .shape = {rows, columns}, .initializer = orthogonal(rows, columns, 2)});
    initialize({parameter}, 3, {}, DType::f64);
    const Tensor& w = parameter.value();
    const Tensor product = rows > columns ? ops::matmul(w, w, true, false) : ops::matmul(w, w, false, true);
    const std::int64_t n = std::min(rows, columns);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j) EXPECT_NEAR(at(product, {i, j}), i == j ? 4 : 0, 1e-13);
    }
  }
}

}  // namespace
}  // namespace zoo
