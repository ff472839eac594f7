#include <gtest/gtest.h>

#include <cmath>

#include "layer_testing.h"

namespace zoo {
namespace {

using namespace testing_support;

// Parameters of block `index` of `blocks`, as training begins.
OwnedLayer block_of(const Registry<LayerEntry>& registry, const std::string& name, std::int64_t d_model, int index,
                    int blocks, const nlohmann::json& options = nlohmann::json::object()) {
  const LayerEntry& entry = registry.get(name);
  OwnedLayer result;
  result.options = Options(entry.options, options, name);
  Builder builder(d_model, result.options, result.parameters);
  builder.layer_index = index;
  builder.n_layers = blocks;
  result.layer = entry.make(builder);
  initialize(result.parameters, 1, {}, DType::f64);
  return result;
}

double largest(const Tensor& x) {
  double result = 0;
  for (const double value : x.values<double>()) result = std::max(result, std::abs(value));
  return result;
}

TEST(MambaInitial, IsThePapers) {
  const OwnedLayer layer = block_of(layer_registry(), "mamba", 32, 0, 4);
  const std::int64_t E = 64, N = 16, rank = 2;
  EXPECT_EQ(layer.value("x_proj.weight").shape(), (Shape{rank + 2 * N, E}));
  for (std::int64_t i = 0; i < E * N; ++i) {
    ASSERT_DOUBLE_EQ(layer.value("A_log").data<double>()[i], std::log(1.0 + static_cast<double>(i % N)));
  }
  double smallest = 1, widest = 0;
  const Tensor& biases = layer.value("dt_proj.bias");
  for (const double bias : biases.values<double>()) {
    const double step = std::log1p(std::exp(bias));
    smallest = std::min(smallest, step);
    widest = std::max(widest, step);
  }
  // Of 64 draws that are log-uniform over two decades, some lie in the lowest and in the highest quarter.
  EXPECT_GE(smallest, 0.001 * (1 - 1e-9));
  EXPECT_LT(smallest, 0.001 * std::sqrt(10.0));
  EXPECT_LE(widest, 0.1 * (1 + 1e-9));
  EXPECT_GT(widest, 0.1 / std::sqrt(10.0));
  const auto expect_uniform = [&](const char* name, double bound) {
    EXPECT_LE(largest(layer.value(name)), bound) << name;
    EXPECT_GT(largest(layer.value(name)), 0.9 * bound) << name;
  };
  expect_uniform("in_proj.weight", 1 / std::sqrt(32.0));
  expect_uniform("conv1d.weight", 0.5);
  expect_uniform("x_proj.weight", 0.125);
  expect_uniform("dt_proj.weight", 1 / std::sqrt(2.0));
  expect_uniform("out_proj.weight", 0.125 / 2);  // over the root of four blocks
  for (const Parameter& parameter : layer.parameters) {
    const std::string& name = parameter.spec().name;
    EXPECT_EQ(parameter.spec().decay, name != "A_log" && name != "D") << name;
  }
}

TEST(MambaOptions, SetTheShapes) {
  const OwnedLayer layer =
      block_of(layer_registry(), "mamba", 20, 0, 1, {{"state", 3}, {"expand", 4}, {"conv_kernel", 2}, {"dt_rank", 7}});
  EXPECT_EQ(layer.value("A_log").shape(), (Shape{80, 3}));
  EXPECT_EQ(layer.value("conv1d.weight").shape(), (Shape{80, 1, 2}));
  EXPECT_EQ(layer.value("dt_proj.weight").shape(), (Shape{80, 7}));
  EXPECT_EQ(block_of(layer_registry(), "mamba", 20, 0, 1).value("dt_proj.weight").shape(), (Shape{40, 2}));
}

TEST(Rwkv4Initial, IsTheAuthors) {
  const std::int64_t D = 9;
  const OwnedLayer layer = block_of(layer_registry(), "rwkv4", D, 1, 3);  // rho = 1/2
  for (std::int64_t i = 0; i < D; ++i) {
    const double at = static_cast<double>(i);
    const auto value = [&](const char* name) { return layer.value(name).data<double>()[i]; };
    EXPECT_NEAR(value("time_decay"), -5 + 8 * std::pow(at / 8, 0.7 + 1.3 / 2), 1e-14);
    EXPECT_NEAR(value("time_first"), std::log(0.3) + 0.5 * (static_cast<double>((i + 1) % 3) - 1), 1e-14);
    EXPECT_NEAR(value("time_mix_key"), std::pow(at / 9, 2.0 / 3), 1e-14);
    EXPECT_NEAR(value("time_mix_value"), std::pow(at / 9, 2.0 / 3) + 0.15, 1e-14);
    EXPECT_NEAR(value("time_mix_receptance"), std::pow(at / 9, 1.0 / 3), 1e-14);
  }
  for (const char* name : {"key.weight", "receptance.weight", "output.weight"}) {
    EXPECT_EQ(largest(layer.value(name)), 0) << name;
  }
}

// The columns of a matrix with gain^2 times the unit matrix as its square.
void expect_orthogonal(const Tensor& weight, double gain) {
  const Tensor square = ops::matmul(weight, weight, true, false);
  for (std::int64_t i = 0; i < square.dim(0); ++i) {
    for (std::int64_t j = 0; j < square.dim(1); ++j) {
      EXPECT_NEAR(square.data<double>()[i * square.dim(1) + j], i == j ? gain * gain : 0, 1e-13);
    }
  }
}

TEST(Rwkv4Initial, ValuesAndHiddenUnitsAreOrthogonal) {
  expect_orthogonal(block_of(layer_registry(), "rwkv4", 9, 0, 2).value("value.weight"), 1);
  const OwnedLayer mix = block_of(feed_forward_registry(), "rwkv_channel_mix", 6, 1, 2);
  expect_orthogonal(mix.value("key.weight"), 2);
  for (std::int64_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(mix.value("time_mix_key").data<double>()[i], std::sqrt(static_cast<double>(i) / 6), 1e-14);
  }
}

TEST(RecurrentInitial, IsPyTorchs) {
  for (const char* name : {"rnn", "lstm", "gru"}) {
    const OwnedLayer layer = block_of(layer_registry(), name, 16, 0, 1);
    for (const Parameter& parameter : layer.parameters) {
      EXPECT_LE(largest(parameter.value()), 0.25) << name << ' ' << parameter.spec().name;
      EXPECT_GT(largest(parameter.value()), 0.15) << name << ' ' << parameter.spec().name;
    }
  }
}

}  // namespace
}  // namespace zoo
