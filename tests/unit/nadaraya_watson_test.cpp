#include <gtest/gtest.h>

#include <cmath>

#include "layer_testing.h"

namespace zoo {
namespace {

using namespace testing_support;

double kernel_value(const std::string& kernel, const double* q, const double* k, std::int64_t d, double h) {
  double product = 0, square = 0, absolute = 0;
  for (std::int64_t i = 0; i < d; ++i) {
    product += q[i] * k[i];
    square += (q[i] - k[i]) * (q[i] - k[i]);
    absolute += std::abs(q[i] - k[i]);
  }
  if (kernel == "exp") return std::exp(product / std::sqrt(static_cast<double>(d)));
  if (kernel == "gaussian") return std::exp(-square / (2 * h * h));
  if (kernel == "laplacian") return std::exp(-absolute / h);
  return std::max(0.0, 1 - square / (h * h));
}

// The definition, a sum over all points for each query: [B,T,D].
Tensor by_definition(const std::string& kernel, const OwnedLayer& layer, const Tensor& x, std::int64_t heads) {
  const std::int64_t B = x.dim(0), T = x.dim(1), D = x.dim(2), d = D / heads;
  const Tensor q = ops::linear(x, layer.value("q_proj.weight")), k = ops::linear(x, layer.value("k_proj.weight"));
  const Tensor y = ops::linear(x, layer.value("v_proj.weight"));
  Tensor f = Tensor::zeros({B, T, D}, DType::f64);
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t head = 0; head < heads; ++head) {
      const double h = kernel == "exp" ? 1 : std::exp(at(layer.value("log_h"), {head}));
      for (std::int64_t t = 0; t < T; ++t) {
        double total = 0;
        double* sum = f.data<double>() + (b * T + t) * D + head * d;
        for (std::int64_t s = 0; s <= t; ++s) {
          const auto row = [&](const Tensor& of, std::int64_t i) {
            return of.data<double>() + (b * T + i) * D + head * d;
          };
          const double kappa = kernel_value(kernel, row(q, t), row(k, s), d, h);
          for (std::int64_t i = 0; i < d; ++i) sum[i] += kappa * row(y, s)[i];
          total += kappa;
        }
        for (std::int64_t i = 0; i < d; ++i) {
          sum[i] = total == 0 ? y.data<double>()[(b * T + t) * D + head * d + i] : sum[i] / total;
        }
      }
    }
  }
  return ops::linear(f, layer.value("o_proj.weight"));
}

class NadarayaWatsonKernel : public testing::TestWithParam<const char*> {};

TEST_P(NadarayaWatsonKernel, IsTheDefinition) {
  const std::string kernel = GetParam();
  const OwnedLayer layer = make_layer("nadaraya_watson", 8, {{"kernel", kernel}, {"heads", 2}});
  const Tensor x = normal({2, 150, 8}, 1);  // more than a chunk of queries
  EXPECT_LT(distance(layer(x), by_definition(kernel, layer, x, 2)), 1e-12);
}

TEST_P(NadarayaWatsonKernel, ChunksGiveTheWhole) {
  const OwnedLayer layer = make_layer("nadaraya_watson", 8, {{"kernel", GetParam()}, {"heads", 2}});
  const Tensor x = normal({2, 21, 8}, 2);
  EXPECT_LT(distance(in_chunks(layer, x, {5, 1, 1, 14}).first, layer(x)), 1e-13);
}

TEST_P(NadarayaWatsonKernel, RowsAreThoseOfTheWhole) {
  const OwnedLayer layer = make_layer("nadaraya_watson", 8, {{"kernel", GetParam()}, {"heads", 2}});
  const Tensor x = normal({2, 20, 8}, 2);
  const Rows rows = rows_at(2, 20, {3, 19, 20, 31});
  EXPECT_LT(distance(layer(x, {.rows = &rows}), ops::gather_rows(ops::reshape(layer(x), {40, 8}), rows.indices)),
            1e-13);
}

INSTANTIATE_TEST_SUITE_P(All, NadarayaWatsonKernel, testing::Values("exp", "gaussian", "laplacian", "epanechnikov"),
                         [](const auto& test) { return std::string(test.param); });

// Theorem 2 of the TTT paper: with the exponential kernel the estimator is attention, values and gradients.
void expect_theorem_2(DType dtype, double tolerance) {
  const nlohmann::json heads = {{"heads", 2}};
  const OwnedLayer estimator = make_layer("nadaraya_watson", 8, heads, dtype);
  const OwnedLayer attention = make_layer("attention", 8, heads, dtype);
  const Tensor x = normal({3, 90, 8}, 1, dtype).variable();
  const Tensor weights = normal({3, 90, 8}, 2, dtype);
  const auto gradients = [&](const OwnedLayer& layer) {
    Tensors inputs = layer.values();
    inputs.push_back(x);
    return grad(ops::sum(layer(x) * weights), inputs);
  };
  EXPECT_LE(distance(estimator(x), attention(x)), tolerance);
  // Scores near 10, of values that are themselves rounded, are off by some 10 roundings, and so are weights of values
  // near 5.
  const double of_rounding = 100 * (dtype == DType::f64 ? 0x1p-53 : 0x1p-24);
  EXPECT_LE(distance(attention(x), by_definition("exp", make_layer("attention", 8, heads), x.to(DType::f64), 2)),
            of_rounding);
  const Tensors of_estimator = gradients(estimator), of_attention = gradients(attention);
  ASSERT_EQ(of_estimator.size(), of_attention.size());
  for (std::size_t i = 0; i < of_estimator.size(); ++i) {
    EXPECT_LE(distance(of_estimator[i], of_attention[i]), tolerance) << i;
  }
}

TEST(NadarayaWatson, WithTheExpKernelIsAttention) {
  // One kernel family computes both, so that not a bit differs.
  expect_theorem_2(DType::f64, 0);
  expect_theorem_2(DType::f32, 0);
}

TEST(NadarayaWatson, AQueryWithoutNeighbourReturnsItsOwnValue) {
  const OwnedLayer layer = make_layer("nadaraya_watson", 4, {{"kernel", "epanechnikov"}});
  for (const Parameter& parameter : layer.parameters) {
    if (parameter.spec().name == "log_h") parameter.set_value(Tensor::full({1}, -9, DType::f64).variable());
  }
  const Tensor x = normal({2, 12, 4}, 3).variable();
  const Tensor own = ops::linear(ops::linear(x, layer.value("v_proj.weight")), layer.value("o_proj.weight"));
  const Tensor y = layer(x);
  EXPECT_EQ(distance(y, own), 0);
  const Tensor dx = grad(ops::sum(ops::square(y)), std::array{x})[0];
  EXPECT_LT(distance(dx, grad(ops::sum(ops::square(own)), std::array{x})[0]), 1e-13);
}

}  // namespace
}  // namespace zoo
