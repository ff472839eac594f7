#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "layer_testing.h"
#include "zoo/core/error.h"
#include "zoo/ops/families.h"

namespace zoo {
namespace {

using namespace testing_support;

TEST(CausalConv, LongAndShortConvolutionsAreOneExactly) {
  // Whole numbers: every sum is exact. The long filter is the short one backwards in time.
  const std::int64_t B = 3, T = 150, C = 18;
  const Tensor x = whole({B, T, C}, 1, 3, DType::f32).variable(), filter = whole({T, C}, 2, 3, DType::f32).variable();
  Tensor backwards = Tensor::empty({T}, DType::i32);
  for (std::int64_t i = 0; i < T; ++i) backwards.data<std::int32_t>()[i] = static_cast<std::int32_t>(T - 1 - i);
  const Tensor weight = ops::transpose(ops::gather_rows(filter, backwards));
  const Tensor of_long = ops::long_conv(x, filter);
  const Tensor of_short = ops::causal_conv(x, weight, {}, Tensor::zeros({B, T - 1, C})).y;
  EXPECT_EQ(distance(of_long, of_short), 0);
  const Tensor dy = whole({B, T, C}, 3, 2, DType::f32);
  const Tensors gradients_of_long = grad(ops::sum(of_long * dy), std::array{x, filter});
  const Tensors gradients_of_short = grad(ops::sum(of_short * dy), std::array{x, filter});
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(distance(gradients_of_long[i], gradients_of_short[i]), 0) << i;
}

TEST(CausalConv, TheLastWeightMeetsTheCurrentToken) {
  const Tensor x = Tensor::from<float>({1, 4, 1}, {1, 10, 100, 1000});
  const Tensor weight = Tensor::from<float>({1, 3}, {3, 2, 1});
  const ops::Convolution result = ops::causal_conv(x, weight, {}, Tensor::from<float>({1, 2, 1}, {5, 7}));
  EXPECT_EQ(
      distance(result.y, Tensor::from<float>({1, 4, 1}, {15 + 14 + 1, 21 + 2 + 10, 3 + 20 + 100, 30 + 200 + 1000})), 0);
  EXPECT_EQ(distance(result.state, Tensor::from<float>({1, 2, 1}, {100, 1000})), 0);
}

TEST(BaseConv, IsItsFormula) {
  const std::int64_t B = 2, T = 9, D = 5;
  const OwnedLayer layer = make_layer("base_conv", D);
  const Tensor u = normal({B, T, D}, 1);
  const Tensor projected = ops::linear(u, layer.value("projection.weight"), layer.value("projection.bias"));
  Tensor y = Tensor::empty(u.shape(), DType::f64);
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t t = 0; t < T; ++t) {
      for (std::int64_t c = 0; c < D; ++c) {
        double conv = at(layer.value("conv.conv.bias"), {c});
        for (std::int64_t j = 0; j < 3 && j <= t; ++j) {
          conv += at(layer.value("conv.conv.weight"), {c, 0, 2 - j}) * at(u, {b, t - j, c});
        }
        y.data<double>()[(b * T + t) * D + c] = conv * at(projected, {b, t, c}) + at(u, {b, t, c});
      }
    }
  }
  EXPECT_LT(distance(layer(u), y), 1e-14);
}

// y of the long form, where lags from max_length on are outside the filter.
Tensor long_by_definition(const OwnedLayer& layer, const Tensor& u, std::int64_t max_length) {
  const std::int64_t B = u.dim(0), T = u.dim(1), D = u.dim(2);
  const Tensor projected = ops::linear(u, layer.value("projection.weight"), layer.value("projection.bias"));
  Tensor features = Tensor::empty({max_length, 3}, DType::f64);
  for (std::int64_t i = 0; i < max_length; ++i) {
    const double angle = 1e-4 * 2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(max_length);
    double* row = features.data<double>() + 3 * i;
    row[0] = static_cast<double>(i) / static_cast<double>(max_length - 1);
    row[1] = std::cos(angle);
    row[2] = -std::sin(angle);
  }
  const Tensor hidden =
      ops::relu(ops::linear(features, layer.value("conv.filter_mlp.0.weight"), layer.value("conv.filter_mlp.0.bias")));
  const Tensor filter =
      ops::linear(hidden, layer.value("conv.filter_mlp.2.weight"), layer.value("conv.filter_mlp.2.bias"));
  Tensor y = Tensor::empty(u.shape(), DType::f64);
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t t = 0; t < T; ++t) {
      for (std::int64_t c = 0; c < D; ++c) {
        double conv = 0;
        for (std::int64_t j = 0; j <= t && j < max_length; ++j) conv += at(filter, {j, c}) * at(u, {b, t - j, c});
        y.data<double>()[(b * T + t) * D + c] = conv * at(projected, {b, t, c}) + at(u, {b, t, c});
      }
    }
  }
  return y;
}

TEST(BaseConv, TheLongFormIsItsFormulaInAnyChunks) {
  const Tensor u = normal({2, 40, 6}, 1);
  for (const std::int64_t max_length : {100, 40, 13}) {
    const OwnedLayer layer = make_layer("base_conv", 6, {{"conv_kernel", -1}}, DType::f64, max_length);
    const Tensor expected = long_by_definition(layer, u, max_length);
    EXPECT_LT(distance(layer(u), expected), 1e-13) << max_length;
    EXPECT_LT(distance(in_chunks(layer, u, {1, 9, 1, 20, 9}).first, expected), 1e-13) << max_length;
  }
}

TEST(BaseConv, AKernelOfZeroIsRefused) {
  EXPECT_THROW(make_layer("base_conv", 4, {{"conv_kernel", 0}}), UsageError);
}

}  // namespace
}  // namespace zoo
