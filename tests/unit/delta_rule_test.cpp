#include "zoo/ops/delta_rule.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/unit/layer_testing.h"
#include "zoo/core/error.h"
#include "zoo/core/tape.h"

namespace zoo {
namespace {

using testing_support::at;
using testing_support::distance;
using testing_support::normal;

Tensor unit_rows(const Tensor& x) {
  return x * ops::rsqrt(ops::sum(ops::square(x), -1, true));
}

// The n-th of [1, steps, 1, width]: 1 at channel n mod width of step n.
Tensor one_hot_keys(std::int64_t steps, std::int64_t width, DType dtype) {
  Tensor keys = Tensor::zeros({1, steps, 1, width}, DType::f64);
  for (std::int64_t t = 0; t < steps; ++t) keys.data<double>()[t * width + t % width] = 1;
  return keys.to(dtype);
}

double rms(const Tensor& x) {
  const Tensor x64 = x.to(DType::f64);
  double total = 0;
  for (const double value : x64.values<double>()) total += value * value;
  return std::sqrt(total / static_cast<double>(x.size()));
}

// With beta 1 and keys of which each is orthogonal to the others or the same, a step replaces the value of its key: the
// answer to a key is the last value stored under it.
TEST(DeltaRule, AWrittenValueReplacesTheOldOneOfItsKey) {
  constexpr std::int64_t T = 150, d = 16;
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor k = one_hot_keys(T, d, dtype);
    const Tensor v = normal({1, T, 1, 5}, 1, dtype);
    // Step t asks for the key of step t + 3, stored 13 steps ago.
    const Tensor q = ops::slice(one_hot_keys(T + 3, d, dtype), 1, 3, T + 3);
    const ops::Recurrence result =
        ops::delta_rule(q, k, v, Tensor::full({1, T, 1}, 1, dtype), Tensor::zeros({1, 1, d, 5}, dtype), {});
    const double epsilon = dtype == DType::f32 ? 0x1p-23 : 0x1p-52;
    EXPECT_LT(distance(ops::slice(result.y, 1, 13, T), ops::slice(v, 1, 0, T - 13)), 64 * epsilon);
    EXPECT_LT(distance(ops::slice(result.y, 1, 0, 13), Tensor::zeros({1, 13, 1, 5}, dtype)), 64 * epsilon);
  }
}

TEST(DeltaRule, WithoutBetaNothingIsWritten) {
  const Tensor q = normal({2, 70, 3, 4}, 1), k = normal({2, 70, 3, 4}, 2), v = normal({2, 70, 3, 5}, 3);
  const Tensor initial = normal({2, 3, 4, 5}, 4);
  const ops::Recurrence result = ops::delta_rule(q, k, v, Tensor::zeros({2, 70, 3}, DType::f64), initial, {});
  EXPECT_EQ(distance(result.state, initial), 0);
  const Tensor expected = ops::permute(ops::matmul(ops::permute(q, {0, 2, 1, 3}), initial), {0, 2, 1, 3});
  EXPECT_LT(distance(result.y, expected), 1e-14);
}

TEST(DeltaRule, ADecayOfZeroForgetsAllBeforeIt) {
  constexpr std::int64_t T = 100, cut = 70;
  for (const double nothing : {-std::numeric_limits<double>::infinity(), -1e30}) {
    const Tensor q = normal({1, T, 2, 4}, 1), k = unit_rows(normal({1, T, 2, 4}, 2)), v = normal({1, T, 2, 3}, 3);
    const Tensor beta = ops::sigmoid(normal({1, T, 2}, 4));
    Tensor log_decay = Tensor::full({1, T, 2}, -0.1, DType::f64);
    for (std::int64_t h = 0; h < 2; ++h) log_decay.data<double>()[cut * 2 + h] = nothing;
    const Tensors inputs = {
        q.variable(),        k.variable(), v.variable(), beta.variable(), normal({1, 2, 4, 3}, 5).variable(),
        log_decay.variable()};
    const ops::Recurrence whole = ops::delta_rule(inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], inputs[5]);
    const auto rest = [](const Tensor& x) { return ops::slice(x, 1, cut, T); };
    Tensor ordinary = Tensor::full({1, T - cut, 2}, -0.1, DType::f64);
    const ops::Recurrence fresh =
        ops::delta_rule(rest(q), rest(k), rest(v), rest(beta), Tensor::zeros({1, 2, 4, 3}, DType::f64), ordinary);
    // The running sums of logarithms have come to -1000: decays after that are exact to 1e-13.
    EXPECT_LT(distance(rest(whole.y), fresh.y), 1e-12);
    EXPECT_LT(distance(whole.state, fresh.state), 1e-12);
    // Nothing that follows has a gradient by what was before.
    for (const Tensor& gradient : grad(ops::sum(rest(whole.y)), inputs)) {
      for (const double value : gradient.values<double>()) ASSERT_TRUE(std::isfinite(value));
    }
    const Tensors gradients = grad(
        ops::sum(rest(ops::delta_rule(inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], inputs[5]).y)), inputs);
    EXPECT_EQ(distance(gradients[4], Tensor::zeros({1, 2, 4, 3}, DType::f64)), 0);
    EXPECT_LT(distance(ops::slice(gradients[2], 1, 0, cut), Tensor::zeros({1, cut, 2, 3}, DType::f64)), 1e-13);
  }
}

// Keys that are nearly the same, and beta up to 2: the inverse of the triangular matrix is made of large alternating
// numbers, which forward substitution does not need. The float64 values come from the definition, step by step.
TEST(DeltaRule, Float32IsExactForCorrelatedKeysAndReflections) {
  constexpr std::int64_t T = 192, d = 32;
  const auto q = normal({1, T, 2, d}, 1), v = normal({1, T, 2, d}, 2), noise = normal({1, T, 2, d}, 3);
  const Tensor common = ops::broadcast_to(normal({1, 1, 2, d}, 4), {1, T, 2, d});
  const Tensor dy = normal({1, T, 2, d}, 6).to(DType::f32);
  for (const double spread : {0.01, 0.1, 1.0}) {
    for (const double largest_beta : {1.0, 2.0}) {
      SCOPED_TRACE(testing::Message() << "spread " << spread << ", beta up to " << largest_beta);
      const Tensor k = unit_rows(common + ops::scale(noise, spread));
      const Tensor beta = ops::scale(ops::sigmoid(normal({1, T, 2}, 5) * 3.0), largest_beta);
      const Tensor log_decay = ops::scale(ops::softplus(normal({1, T, 2}, 7) - 4.0), -1);
      Tensors rounded;
      for (const Tensor& x : {q, k, v, beta, Tensor::zeros({1, 2, d, d}, DType::f64), log_decay}) {
        rounded.push_back(x.to(DType::f32));
      }
      const auto results = [&](DType dtype) {
        Tensors inputs;
        for (const Tensor& x : rounded) inputs.push_back(x.to(dtype).variable());
        const ops::Recurrence r = ops::delta_rule(inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], inputs[5]);
        const Tensor outputs[] = {r.y};
        const Tensor gradients[] = {dy.to(dtype)};
        Tensors all = grad(outputs, inputs, gradients);
        all.push_back(r.y.detach());
        all.push_back(r.state.detach());
        return all;
      };
      const Tensors fast = results(DType::f32);
      const UseFallbacks use_fallbacks;
      const Tensors exact = results(DType::f64);
      for (std::size_t i = 0; i < fast.size(); ++i) {
        EXPECT_LT(rms(ops::sub(fast[i].to(DType::f64), exact[i])) / rms(exact[i]), 1e-5) << "result " << i;
      }
    }
  }
}

TEST(DeltaRule, WrongShapesAreNamed) {
  const Tensor x = Tensor::zeros({2, 3, 4, 5}), beta = Tensor::zeros({2, 3, 4}), S = Tensor::zeros({2, 4, 5, 5});
  EXPECT_NO_THROW(ops::delta_rule(x, x, x, beta, S, {}));
  const auto wrong = [&](auto call) {
    EXPECT_THAT(call, testing::ThrowsMessage<Error>(testing::HasSubstr("delta_rule")));
  };
  wrong([&] { ops::delta_rule(x, x, x, x, S, {}); });
  wrong([&] { ops::delta_rule(x, x, x, beta, Tensor::zeros({1, 4, 5, 5}), {}); });
  wrong([&] { ops::delta_rule(x, x, x, beta, S, Tensor::zeros({4})); });
  wrong([&] { ops::delta_rule(x, x, x, beta, S.to(DType::f64), {}); });
}

}  // namespace
}  // namespace zoo
