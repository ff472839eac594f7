#include <gtest/gtest.h>

#include <cmath>

#include "layer_testing.h"
#include "zoo/core/flops.h"
#include "zoo/ops/families.h"

namespace zoo {
namespace {

using namespace testing_support;

// phi(q).phi(k) of a feature map, by the formula of the map.
double similarity(const std::string& map, const double* q, const double* k, std::int64_t d) {
  std::vector<double> phi_q(q, q + d), phi_k(k, k + d);
  double product = 0;
  for (std::int64_t i = 0; i < d; ++i) product += q[i] * k[i];
  if (map == "identity") return product;
  if (map == "taylor") {
    const double s = product / std::sqrt(static_cast<double>(d));
    return 1 + s + s * s / 2;
  }
  for (std::vector<double>* phi : {&phi_q, &phi_k}) {
    double total = 0;
    for (double& value : *phi) {
      if (map == "elu1") value = value > 0 ? value + 1 : std::exp(value);
      if (map == "relu") value = std::max(value, 0.0);
      if (map == "softmax") total += value = std::exp(value);
    }
    if (map == "softmax") {
      for (double& value : *phi) value /= total;
    }
  }
  product = 0;
  for (std::int64_t i = 0; i < d; ++i)
    product += phi_q[static_cast<std::size_t>(i)] * phi_k[static_cast<std::size_t>(i)];
  return product;
}

struct Settings {
  const char* map;
  bool normalise;
  bool decay;
};

class LinearAttentionMap : public testing::TestWithParam<Settings> {};

TEST_P(LinearAttentionMap, IsTheQuadraticDefinition) {
  const auto [map, normalise, decays] = GetParam();
  const std::int64_t B = 2, T = 130, D = 8, heads = 2, d = 4;
  const OwnedLayer layer = make_layer(
      "linear_attention", D,
      {{"heads", heads}, {"feature_map", map}, {"normalise", normalise}, {"decay", decays ? "retnet" : "none"}});
  const Tensor x = normal({B, T, D}, 1);
  const Tensor q = ops::linear(x, layer.value("q_proj.weight")), k = ops::linear(x, layer.value("k_proj.weight"));
  const Tensor v = ops::linear(x, layer.value("v_proj.weight"));
  Tensor z = Tensor::zeros({B, T, D}, DType::f64);
  double smallest = 1;  // denominator, by which errors grow
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t h = 0; h < heads; ++h) {
      const double gamma = decays ? 1 - std::pow(2.0, -5.0 - static_cast<double>(h)) : 1;
      for (std::int64_t t = 0; t < T; ++t) {
        double denominator = 0;
        double* row = z.data<double>() + (b * T + t) * D + h * d;
        for (std::int64_t s = 0; s <= t; ++s) {
          const auto of = [&](const Tensor& tensor, std::int64_t i) {
            return tensor.data<double>() + (b * T + i) * D + h * d;
          };
          const double weight = std::pow(gamma, static_cast<double>(t - s)) * similarity(map, of(q, t), of(k, s), d);
          for (std::int64_t i = 0; i < d; ++i) row[i] += weight * of(v, s)[i];
          denominator += weight;
        }
        if (!normalise) continue;
        if (denominator != 0) smallest = std::min(smallest, std::abs(denominator));
        for (std::int64_t i = 0; i < d; ++i) row[i] = denominator == 0 ? 0 : row[i] / denominator;
      }
    }
  }
  EXPECT_LT(distance(layer(x), ops::linear(z, layer.value("o_proj.weight"))), 1e-11 / smallest);
}

INSTANTIATE_TEST_SUITE_P(All, LinearAttentionMap,
                         testing::Values(Settings{"identity", false, false}, Settings{"identity", false, true},
                                         Settings{"elu1", true, false}, Settings{"elu1", true, true},
                                         Settings{"relu", false, true}, Settings{"relu", true, false},
                                         Settings{"softmax", true, true}, Settings{"taylor", true, false},
                                         Settings{"taylor", false, true}),
                         [](const auto& test) {
                           return std::string(test.param.map) + (test.param.normalise ? "_normalised" : "") +
                                  (test.param.decay ? "_retnet" : "");
                         });

TEST(LinearAttention, AZeroDenominatorGivesZeroAndNoGradient) {
  const OwnedLayer layer = make_layer("linear_attention", 4, {{"feature_map", "relu"}, {"normalise", true}});
  for (const Parameter& parameter : layer.parameters) {
    if (parameter.spec().name == "k_proj.weight") parameter.set_value(Tensor::full({4, 4}, -1, DType::f64).variable());
  }
  const Tensor x = ops::abs(normal({1, 6, 4}, 1)).variable();  // every key is negative, so that phi(k) = 0
  const Tensor y = layer(x);
  EXPECT_EQ(distance(y, Tensor::zeros(y.shape(), DType::f64)), 0);
  EXPECT_EQ(distance(grad(ops::sum(y), std::array{x})[0], Tensor::zeros(x.shape(), DType::f64)), 0);
}

// Softmax features of large inputs are nearly one-hot, so a query may meet no key but by a product next to nothing.
TEST(LinearAttention, ADenominatorNextToZeroHasAFiniteGradient) {
  const OwnedLayer layer = make_layer(
      "linear_attention", 8, {{"feature_map", "softmax"}, {"normalise", true}, {"decay", "retnet"}}, DType::f32);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Tensor x = ops::scale(normal({1, 6, 8}, seed, DType::f32), 60).variable();
    const Tensor gradient = grad(ops::sum(layer(x)), std::array{x})[0];
    for (const float value : gradient.values<float>()) ASSERT_TRUE(std::isfinite(value)) << "seed " << seed;
  }
}

TEST(LinearAttention, TheStateIsOneMatrixAHeadAndANormaliser) {
  const auto bytes = [](const nlohmann::json& options) {
    return make_layer("linear_attention", 8, options, DType::f32).layer->initial_state(1).bytes() / 4;
  };
  EXPECT_EQ(bytes({{"heads", 2}}), 2 * 4 * 4);
  EXPECT_EQ(bytes({{"heads", 2}, {"normalise", true}}), 2 * 4 * 5);
  EXPECT_EQ(bytes({{"heads", 2}, {"feature_map", "taylor"}, {"normalise", true}}), 2 * (1 + 4 + 10) * 5);
}

TEST(LinearAttention, ChunksAndRowsAreThoseOfTheWhole) {
  const OwnedLayer layer = make_layer(
      "linear_attention", 8, {{"heads", 2}, {"feature_map", "elu1"}, {"normalise", true}, {"decay", "retnet"}});
  const Tensor x = normal({2, 150, 8}, 2);
  EXPECT_LT(distance(in_chunks(layer, x, {1, 70, 64, 15}).first, layer(x)), 1e-12);
  const Rows rows = rows_at(2, 150, {0, 149, 150, 220});
  EXPECT_EQ(distance(layer(x, {.rows = &rows}), ops::gather_rows(ops::reshape(layer(x), {300, 8}), rows.indices)), 0);
}

TEST(LinearRecurrence, IsExactOnWholeNumbers) {
  // Sums stay below 2^24, so that float32 has every one of them.
  const std::int64_t B = 2, T = 200, H = 2, dk = 19, dv = 18;
  const Tensor q = whole({B, T, H, dk}, 1, 2, DType::f32), k = whole({B, T, H, dk}, 2, 2, DType::f32);
  const Tensor v = whole({B, T, H, dv}, 3, 3, DType::f32), initial = whole({B, H, dk, dv}, 4, 5, DType::f32);
  const ops::Recurrence result = ops::linear_recurrence(q, k, v, initial, {});
  std::vector<double> S(static_cast<std::size_t>(dk * dv));
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t h = 0; h < H; ++h) {
      for (std::int64_t i = 0; i < dk * dv; ++i) {
        S[static_cast<std::size_t>(i)] = initial.data<float>()[(b * H + h) * dk * dv + i];
      }
      for (std::int64_t t = 0; t < T; ++t) {
        for (std::int64_t j = 0; j < dv; ++j) {
          double y = 0;
          for (std::int64_t i = 0; i < dk; ++i) {
            double& cell = S[static_cast<std::size_t>(i * dv + j)];
            cell += at(k, {b, t, h, i}) * at(v, {b, t, h, j});
            y += cell * at(q, {b, t, h, i});
          }
          ASSERT_EQ(at(result.y, {b, t, h, j}), y) << t;
        }
      }
      for (std::int64_t i = 0; i < dk * dv; ++i) {
        ASSERT_EQ(result.state.data<float>()[(b * H + h) * dk * dv + i], S[static_cast<std::size_t>(i)]);
      }
    }
  }
}

TEST(LinearRecurrence, ADecayWhosePowersUnderflowIsHarmless) {
  const std::int64_t T = 300;
  const Tensor q = normal({1, T, 1, 4}, 1).variable(), k = normal({1, T, 1, 4}, 2).variable();
  const Tensor v = normal({1, T, 1, 4}, 3), initial = normal({1, 1, 4, 4}, 4);
  const Tensor decay = Tensor::from<double>({1}, {1e-4}).variable();
  const auto gradients = [&](DType dtype) {
    const Tensors inputs = {q.to(dtype).variable(), k.to(dtype).variable(), decay.to(dtype).variable()};
    const ops::Recurrence result =
        ops::linear_recurrence(inputs[0], inputs[1], v.to(dtype), initial.to(dtype), inputs[2]);
    Tensors all = grad(ops::sum(result.y) + ops::sum(result.state), inputs);
    all.push_back(result.y);
    return all;
  };
  const Tensors narrow = gradients(DType::f32), wide = gradients(DType::f64);
  // The decay's gradient is a difference of sums near 300 * 100, in float32.
  const double allowed[] = {1e-5, 1e-5, 3e4 * 0x1p-24 / 1e-4, 1e-5};
  for (std::size_t i = 0; i < narrow.size(); ++i) EXPECT_LT(distance(narrow[i], wide[i]), allowed[i]) << i;
}

TEST(LinearRecurrence, CountsTheRecurrence) {
  const Tensor q = normal({2, 70, 3, 4}, 1).variable(), v = normal({2, 70, 3, 5}, 2);
  const double before = flops_counted();
  const ops::Recurrence result = ops::linear_recurrence(q, q, v, Tensor::zeros({2, 3, 4, 5}, DType::f64), {});
  EXPECT_EQ(flops_counted() - before, 2.0 * 2 * 2 * 70 * 3 * 4 * 5);
}

}  // namespace
}  // namespace zoo
