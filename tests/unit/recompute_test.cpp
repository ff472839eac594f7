#include "zoo/core/recompute.h"

#include <gtest/gtest.h>

#include <cstring>

#include "zoo/core/flops.h"
#include "zoo/core/pool.h"
#include "zoo/nn/model.h"
#include "zoo/ops/ops.h"

namespace zoo::test {
namespace {

Tensor variable(const Shape& shape, double first) {
  Tensor values = Tensor::empty(shape, DType::f64);
  for (std::int64_t i = 0; i < values.size(); ++i) values.data<double>()[i] = first + 0.25 * static_cast<double>(i);
  return values.variable();
}

void expect_same(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.defined(), b.defined());
  if (!a.defined()) return;
  ASSERT_EQ(a.shape(), b.shape());
  EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0);
}

TEST(Recompute, GivesTheGradientsOfAPlainCallOfEverythingThatWasRead) {
  const Tensor x = variable({2, 3}, 0.1), w = variable({3, 3}, -0.4), unread = variable({3}, 1);
  const auto f = [&](const Tensor& input) { return ops::tanh(ops::matmul(input, w)) * input; };
  const Tensors wanted{x, w, unread};
  const Tensors plain = grad(ops::sum(f(x)), wanted);
  const Tensors again = grad(ops::sum(recompute(f, x)), wanted);
  for (std::size_t i = 0; i < wanted.size(); ++i) expect_same(plain[i], again[i]);
  EXPECT_FALSE(again[2].defined());
}

TEST(Recompute, CanBeDifferentiatedTwice) {
  const Tensor x = variable({4}, 0.1), w = variable({4}, 0.7);
  const auto f = [&](const Tensor& input) { return ops::sin(input * w) * input; };
  const auto second = [&](const Tensor& y) {
    const Tensors first = grad(ops::sum(y), Tensors{x}, {.create_graph = true});
    return grad(ops::sum(ops::square(first[0])), Tensors{x, w});
  };
  const Tensors plain = second(f(x)), again = second(recompute(f, x));
  for (std::size_t i = 0; i < 2; ++i) expect_same(plain[i], again[i]);
}

TEST(Recompute, OfAnInputOffTheTapeStillGivesTheOthersGradients) {
  const Tensor x = Tensor::full({3}, 0.5, DType::f64), w = variable({3}, 0.7);
  const auto f = [&](const Tensor& input) { return ops::exp(input * w); };
  expect_same(grad(ops::sum(f(x)), Tensors{w})[0], grad(ops::sum(recompute(f, x)), Tensors{w})[0]);
}

TEST(Recompute, WithoutTapingIsAPlainCall) {
  const NoTape off;
  int calls = 0;
  const Tensor y = recompute(
      [&](const Tensor& input) {
        ++calls;
        return input + 1.0;
      },
      Tensor::scalar(1));
  EXPECT_EQ(y.item(), 2);
  EXPECT_EQ(calls, 1);
}

struct Step {
  double loss = 0;
  Tensors gradients;
  double flops = 0;
};

// Loss and gradients of a small language model of the layer; dropout is on, so that its numbers must repeat too.
Step step_of(const std::string& layer, const std::string& backbone, const nlohmann::json& options, std::int64_t d_model,
             bool again) {
  const ModelSpec spec{.layer = layer,
                       .layer_options = {{layer, options}},
                       .backbone = backbone,
                       .backbone_options = {{"dropout", 0.25}},
                       .feed_forward = "swiglu",
                       .blocks = 2,
                       .d_model = d_model,
                       .vocab_size = 11,
                       .max_length = 9};
  const Model model(spec, 3);
  Tensors variables;
  for (const Parameter& parameter : model.parameters()) variables.push_back(parameter.value());
  Tensor tokens = Tensor::empty({2, 9}, DType::i32);
  for (std::int64_t i = 0; i < tokens.size(); ++i)
    tokens.data<std::int32_t>()[i] = static_cast<std::int32_t>(i * 5 % 11);
  ModelState state = model.initial_state(2);
  const double before = flops_counted();
  const Tensor hidden = model.forward(tokens, state, {.training = true, .recompute = again});
  const Tensor loss =
      model.head().loss(ops::reshape(hidden, {18, d_model}), {.labels = tokens.view({18}), .targets = {}});
  Step step{.loss = loss.item(), .gradients = grad(loss, variables, {.release_tape = true})};
  step.flops = flops_counted() - before;
  return step;
}

TEST(Recompute, OfBlocksGivesEveryLayerTheSameBits) {
  for (const LayerEntry& entry : layer_registry().entries()) {
    for (const std::string& backbone : backbone_registry().names()) {
      SCOPED_TRACE(entry.name + " in " + backbone);
      const LayerCase& one = entry.test_cases.front();
      const Step plain = step_of(entry.name, backbone, one.options, one.d_model, false);
      const Step again = step_of(entry.name, backbone, one.options, one.d_model, true);
      EXPECT_EQ(plain.loss, again.loss);
      EXPECT_EQ(plain.flops, again.flops);
      ASSERT_EQ(plain.gradients.size(), again.gradients.size());
      for (std::size_t i = 0; i < plain.gradients.size(); ++i) expect_same(plain.gradients[i], again.gradients[i]);
    }
  }
}

TEST(Recompute, HoldsLessMemory) {
  const auto peak = [](bool again) {
    const ModelSpec spec{.layer = "attention",
                         .backbone = "transformer",
                         .feed_forward = "swiglu",
                         .blocks = 8,
                         .d_model = 32,
                         .vocab_size = 5,
                         .max_length = 256};
    const Model model(spec, 0);
    const Tensor tokens = Tensor::zeros({4, 256}, DType::i32);
    ModelState state = model.initial_state(4);
    reset_pool_peak();
    const std::size_t before = pool_statistics().bytes_in_use;
    const Tensor hidden = model.forward(tokens, state, {.training = true, .recompute = again});
    return pool_statistics().bytes_in_use - before;
  };
  // Eight blocks keep what enters each, [4,256,32] floats, instead of a dozen such tensors a block.
  EXPECT_LT(peak(true) * 5, peak(false));
}

}  // namespace
}  // namespace zoo::test
