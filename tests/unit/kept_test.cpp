// What the tape keeps from the forward pass to the backward pass, and in which form.
#include "zoo/core/kept.h"

#include <gmock/gmock.h>

#include <cmath>
#include <vector>

#include "zoo/core/device.h"
#include "zoo/core/error.h"
#include "zoo/core/pool.h"
#include "zoo/core/precision.h"
#include "zoo/core/tabulate.h"
#include "zoo/ops/ops.h"

namespace zoo {
namespace {

using testing::Each;
using testing::ElementsAreArray;

std::vector<float> elements(const Tensor& x) {
  const auto values = x.values<float>();
  return {values.begin(), values.end()};
}

// To 8 bits, ties to even: what 256 times the leading power of two leaves.
float rounded(float x) {
  int exponent = 0;
  const float mantissa = std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(mantissa, 8)), exponent - 8);
}

std::vector<float> rounded(std::vector<float> x) {
  for (float& value : x) value = rounded(value);
  return x;
}

// Numbers whose 24 bits are all used.
Tensor numbers(std::int64_t count) {
  return tabulate({count}, DType::f32, [](std::int64_t i) { return std::sin(1.0 + static_cast<double>(i)); });
}

struct Seen {
  Tensors inputs;
  Tensors outputs;
};

// The square of its input, of which it says what its gradient was given.
class Witness final : public Op {
 public:
  Witness(Keep input, Keep output, Seen& seen) : input_(input), output_(output), seen_(&seen) {}
  std::string_view name() const override { return "witness"; }
  Tensors forward(std::span<const Tensor> inputs) override { return {ops::square(inputs[0])}; }
  Tensors vjp(const Executed& executed) override {
    seen_->inputs.assign(executed.inputs.begin(), executed.inputs.end());
    seen_->outputs.assign(executed.outputs.begin(), executed.outputs.end());
    return {executed.output_grad()};
  }
  Keep keeps_input(std::size_t) const override { return input_; }
  Keep keeps_output(std::size_t) const override { return output_; }

 private:
  Keep input_;
  Keep output_;
  Seen* seen_;
};

// What the gradient of a witness of `x` was given.
Seen seen_of(const Tensor& x, const Tensor& variable, Keep input, Keep output) {
  Seen seen;
  const Tensor y = apply_one(std::make_unique<Witness>(input, output, seen), {x});
  grad(std::array{y}, std::array{variable}, std::array{numbers(y.size())});
  return seen;
}

TEST(KeptOnTheTape, ElementsThatNoGradientReadsAreNot) {
  const Tensor variable = numbers(1000).variable();
  const Tensor x = ops::scale(variable, 3);
  const Seen seen = seen_of(x, variable, Keep::shape, Keep::shape);
  for (const Tensor& kept : {seen.inputs[0], seen.outputs[0]}) {
    EXPECT_FALSE(kept.defined());
    EXPECT_EQ(kept.shape(), Shape{1000});
    EXPECT_EQ(kept.dtype(), DType::f32);
    EXPECT_THROW(kept.values<float>(), Error);
  }
  EXPECT_EQ(elements(seen_of(variable, variable, Keep::shape, Keep::shape).inputs[0]), elements(variable))
      << "a variable has its elements in any case";
}

TEST(KeptOnTheTape, SumsHoldNothingOfTheirTerms) {
  const Tensor variable = numbers(100'000).variable();
  const std::size_t before = pool_statistics().bytes_in_use;
  const Tensor y = ops::scale(variable, 2) + ops::reshape(ops::scale(variable, 3) + 1.0, {100'000});
  const double floats = static_cast<double>(pool_statistics().bytes_in_use - before) / sizeof(float);
  EXPECT_NEAR(floats, 100'000, 15'000) << "the sum alone, in a block of its size class";
  EXPECT_THAT(elements(grad(std::array{y}, std::array{variable}, std::array{Tensor::full({100'000}, 1)})[0]), Each(5));
}

TEST(KeptOnTheTape, AsTheyAreInFloat32) {
  const Tensor variable = numbers(1000).variable();
  const Tensor x = ops::scale(variable, 3);
  const Seen seen = seen_of(x, variable, Keep::activation, Keep::activation);
  EXPECT_EQ(elements(seen.inputs[0]), elements(x));
  EXPECT_EQ(elements(seen.outputs[0]), elements(ops::square(x)));
}

class KeptInBfloat16 : public testing::Test {
 protected:
  void SetUp() override {
    if (current_device() == Device::cpu) GTEST_SKIP() << "the CPU has one precision";
    variable_ = numbers(1000).variable();
    x_ = ops::scale(variable_, 3);
  }

  Tensor variable_;
  Tensor x_;
};

TEST_F(KeptInBfloat16, ActivationsAreRoundedAndTheForwardPassIsNot) {
  const std::vector<float> x = elements(x_), y = elements(ops::square(x_));
  const WithPrecision precision(Precision::bf16);
  const Seen seen = seen_of(x_, variable_, Keep::activation, Keep::activation);
  EXPECT_EQ(elements(seen.inputs[0]), rounded(x));
  EXPECT_EQ(elements(seen.outputs[0]), rounded(y)) << "of the square of what was not rounded";
  EXPECT_NE(rounded(x), x);
  EXPECT_EQ(elements(x_), x);
}

TEST_F(KeptInBfloat16, NeitherWhatMustBeExactNorVariablesNorFewNumbersNorPartsOfMore) {
  const WithPrecision precision(Precision::bf16);
  const Seen exact = seen_of(x_, variable_, Keep::exact, Keep::exact);
  EXPECT_EQ(elements(exact.inputs[0]), elements(x_));
  EXPECT_EQ(elements(exact.outputs[0]), elements(ops::square(x_)));
  EXPECT_EQ(elements(seen_of(variable_, variable_, Keep::activation, Keep::shape).inputs[0]), elements(variable_));
  const Tensor part = ops::slice(x_, 0, 0, 999);
  EXPECT_EQ(elements(seen_of(part, variable_, Keep::activation, Keep::shape).inputs[0]), elements(part));
  const Tensor few = ops::scale(numbers(fewest_rounded - 1).variable(), 3);
  EXPECT_EQ(elements(kept_input(few, Keep::activation)), elements(few));
  EXPECT_EQ(kept_input(x_, Keep::activation).dtype(), DType::bf16);
}

TEST_F(KeptInBfloat16, OnceForAllWhoKeepIt) {
  const WithPrecision precision(Precision::bf16);
  const std::size_t before = pool_statistics().bytes_in_use;
  const Tensor first = kept_input(x_, Keep::activation);
  const std::size_t one = pool_statistics().bytes_in_use - before;
  EXPECT_GE(one, 2000U);
  const Tensor second = kept_input(ops::reshape(x_, {10, 100}), Keep::activation);
  EXPECT_LT(pool_statistics().bytes_in_use - before - one, 1000U) << "only the reshape's place on the tape";
  EXPECT_EQ(second.shape(), (Shape{10, 100}));
  EXPECT_EQ(elements(second.widened()), elements(first.widened()));
}

TEST_F(KeptInBfloat16, HalvesWhatAChainOfOpsKeeps) {
  const auto kept_by_a_chain = [&](Precision precision) {
    const WithPrecision scope(precision);
    const Tensor weight = Tensor::full({50, 50}, 0.01).variable();
    const std::size_t before = pool_statistics().bytes_in_use;
    Tensor x = ops::reshape(numbers(10'000), {200, 50});
    for (int i = 0; i < 10; ++i) x = ops::gelu_tanh(ops::linear(x, weight));
    const Tensor sum = ops::sum(x);
    x = {};
    return static_cast<double>(pool_statistics().bytes_in_use - before);
  };
  // In float32 20 activations of 40,000 bytes and places on the tape; the first linear's input is no activation.
  const double full = kept_by_a_chain(Precision::float32);
  EXPECT_NEAR(full, 20 * 40'000, 20'000);
  EXPECT_NEAR(kept_by_a_chain(Precision::bf16), 40'000 + 19 * 20'000, 20'000);
}

TEST_F(KeptInBfloat16, GradientsOfGradientsFlowThroughIt) {
  const WithPrecision precision(Precision::bf16);
  const Tensor cube = x_ * x_ * x_;
  const Tensor ones = Tensor::full({1000}, 1);
  const Tensor first = grad(std::array{cube}, std::array{variable_}, std::array{ones}, {.create_graph = true})[0];
  const Tensor second = grad(std::array{first}, std::array{variable_}, std::array{ones})[0];
  // (27 x^3)'' = 162 x. Each factor is rounded by 2^-9, three and three times at most.
  const std::vector<float> x = elements(variable_), actual = elements(second);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(actual[i], 162 * x[i], 162 * std::abs(x[i]) * 6 * 0x1p-9);
}

}  // namespace
}  // namespace zoo
