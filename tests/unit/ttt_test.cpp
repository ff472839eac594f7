#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "tests/unit/layer_testing.h"
#include "zoo/core/tape.h"
#include "zoo/nn/learner.h"
#include "zoo/ops/fast_weights.h"

namespace zoo {
namespace {

using namespace testing_support;

// Options of ttt that take away everything but f(x) = W x.
const nlohmann::json bare = {
    {"inner_bias", false}, {"residual_norm", false}, {"post_norm", false}, {"rope_base", 0}, {"learn_initial", false}};

nlohmann::json with(nlohmann::json options, const nlohmann::json& more) {
  options.update(more);
  return options;
}

// Copies the parameters that have the same name.
void share_parameters(const OwnedLayer& from, const OwnedLayer& to) {
  for (const Parameter& parameter : to.parameters) parameter.set_value(from.value(parameter.spec().name));
}

// y of x, and the gradients of sum(y * dy) by x and by each parameter, zeros where nothing depends on it.
Tensors outputs_and_gradients(const OwnedLayer& layer, const Tensor& x, const Tensor& dy) {
  const Tensor input = x.variable();
  Tensors wanted = layer.values();
  wanted.push_back(input);
  const Tensor y = layer(input);
  Tensors result = grad(std::array{y}, wanted, std::array{dy});
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (!result[i].defined()) result[i] = Tensor::zeros(wanted[i].shape(), wanted[i].dtype());
  }
  result.push_back(y);
  return result;
}

// The two layers' outputs and gradients differ by less than `tolerance`; their parameters have the same names.
void expect_same(const OwnedLayer& a, const OwnedLayer& b, std::int64_t T, double tolerance) {
  const std::int64_t D = a.value("q_proj.weight").dim(1);
  ASSERT_EQ(a.parameters.size(), b.parameters.size());
  const Tensor x = normal({2, T, D}, 5), dy = normal({2, T, D}, 6);
  const Tensors of_a = outputs_and_gradients(a, x, dy), of_b = outputs_and_gradients(b, x, dy);
  for (std::size_t i = 0; i < a.parameters.size(); ++i) {
    const std::string& name = a.parameters[i].spec().name;
    const auto other = std::ranges::find(b.parameters, name, [](const Parameter& p) { return p.spec().name; });
    ASSERT_NE(other, b.parameters.end()) << name;
    EXPECT_LT(distance(of_a[i], of_b[static_cast<std::size_t>(other - b.parameters.begin())]), tolerance) << name;
  }
  EXPECT_LT(distance(of_a[of_a.size() - 2], of_b[of_b.size() - 2]), tolerance) << "the input";
  EXPECT_LT(distance(of_a.back(), of_b.back()), tolerance) << "the output";
}

// Sums of some hundred float64 terms of size 1 to 100.
constexpr double rounding = 1e-10;

// Random values for all parameters, so that norms and rates are not at rest.
OwnedLayer stirred(std::string_view name, std::int64_t d_model, const nlohmann::json& options) {
  OwnedLayer layer = make_layer(name, d_model, options);
  for (const Parameter& parameter : layer.parameters) {
    const std::uint64_t seed = std::hash<std::string>{}(parameter.spec().name);
    parameter.set_value(
        (parameter.value().detach() + ops::scale(normal(parameter.spec().shape, seed), 0.2)).variable());
  }
  return layer;
}

TEST(Ttt, Theorem1BatchGradientDescentOnALinearModelIsLinearAttention) {
  for (const char* form : {"primal", "dual"}) {
    const OwnedLayer ttt =
        make_layer("ttt", 8, with(bare, {{"heads", 2}, {"gradient", "batch"}, {"eta", 0.5}, {"form", form}}));
    const OwnedLayer attention = make_layer("linear_attention", 8, {{"heads", 2}});
    expect_same(ttt, attention, 75, rounding);
  }
}

TEST(Ttt, Theorem1IsExactOnWholeNumbers) {
  // Every sum stays below 2^24, so that float32 has each of them: no tolerance.
  const OwnedLayer ttt =
      make_layer("ttt", 6, with(bare, {{"heads", 2}, {"gradient", "batch"}, {"eta", 0.5}}), DType::f32);
  const OwnedLayer attention = make_layer("linear_attention", 6, {{"heads", 2}}, DType::f32);
  std::uint64_t seed = 10;
  for (const Parameter& parameter : attention.parameters) {
    parameter.set_value(whole(parameter.spec().shape, ++seed, 1, DType::f32).variable());
  }
  share_parameters(attention, ttt);
  const Tensor x = whole({2, 90, 6}, 3, 1, DType::f32), dy = whole({2, 90, 6}, 4, 1, DType::f32);
  const Tensors of_ttt = outputs_and_gradients(ttt, x, dy), of_attention = outputs_and_gradients(attention, x, dy);
  ASSERT_EQ(of_ttt.size(), of_attention.size());
  for (std::size_t i = 0; i < of_ttt.size(); ++i) EXPECT_EQ(distance(of_ttt[i], of_attention[i]), 0) << i;
  EXPECT_GT(distance(of_ttt.back(), Tensor::zeros(of_ttt.back().shape())), 100);
}

// The definition of online gradient descent, written out: W <- W - eta 2 k^T (k W - v), then z = q W.
TEST(Ttt, OnlineGradientDescentIsItsDefinition) {
  const std::int64_t T = 9, d = 3;
  const OwnedLayer ttt = make_layer("ttt", d, with(bare, {{"heads", 1}, {"gradient", "online"}, {"eta", 0.1}}));
  const Tensor x = normal({1, T, d}, 1);
  const auto project = [&](const char* name) { return ops::linear(x, ttt.value(name)); };
  const Tensor q = project("q_proj.weight"), k = project("k_proj.weight"), v = project("v_proj.weight");
  Tensor W = Tensor::zeros({1, d, d}, DType::f64);
  Tensors z;
  for (std::int64_t t = 0; t < T; ++t) {
    const auto row = [&](const Tensor& rows) { return ops::slice(rows, 1, t, t + 1); };
    W = W - 0.2 * ops::matmul(row(k), ops::matmul(row(k), W) - row(v), true, false);
    z.push_back(ops::matmul(row(q), W));
  }
  EXPECT_LT(distance(ttt(x), ops::linear(ops::concat(z, 1), ttt.value("o_proj.weight"))), 1e-12);
}

TEST(Ttt, AMiniBatchOfOneIsOnline) {
  for (const char* eta : {"learned", "0.05"}) {
    const nlohmann::json options = {{"heads", 2}, {"inner", "mlp"}, {"eta", eta}};
    const OwnedLayer online = stirred("ttt", 8, with(options, {{"gradient", "online"}}));
    const OwnedLayer one = stirred("ttt", 8, with(options, {{"mini_batch", 1}}));
    expect_same(online, one, 12, rounding);
  }
}

TEST(Ttt, AMiniBatchAsLongAsTheSequenceIsBatch) {
  for (const char* eta : {"learned", "0.05"}) {
    const nlohmann::json options = {{"heads", 2}, {"eta", eta}, {"mini_batch", 40}, {"inner_optimizer", "momentum"}};
    const OwnedLayer batch = stirred("ttt", 8, with(options, {{"gradient", "batch"}}));
    const OwnedLayer mini_batch = stirred("ttt", 8, options);
    expect_same(batch, mini_batch, 40, rounding);
  }
}

struct Settings {
  const char* name;
  nlohmann::json options;
};
class TttForms : public testing::TestWithParam<Settings> {};

TEST_P(TttForms, PrimalIsDual) {
  const nlohmann::json options = with({{"heads", 2}, {"mini_batch", 5}}, GetParam().options);
  const OwnedLayer primal = stirred("ttt", 8, with(options, {{"form", "primal"}}));
  const OwnedLayer dual = stirred("ttt", 8, with(options, {{"form", "dual"}}));
  expect_same(primal, dual, 18, rounding);
}

TEST_P(TttForms, AnySplitGivesTheSame) {
  const OwnedLayer layer = stirred("ttt", 8, with({{"heads", 2}, {"mini_batch", 5}}, GetParam().options));
  const Tensor x = normal({2, 18, 8}, 2);
  EXPECT_LT(distance(in_chunks(layer, x, {1, 3, 2, 7, 1, 4}).first, layer(x)), rounding);
}

INSTANTIATE_TEST_SUITE_P(
    All, TttForms,
    testing::Values(
        Settings{"linear", nlohmann::json::object()}, Settings{"linear_momentum", {{"inner_optimizer", "momentum"}}},
        Settings{"linear_number", {{"eta", 0.05}}}, Settings{"mlp", {{"inner", "mlp"}}},
        Settings{"deep_momentum",
                 {{"inner", "mlp"}, {"inner_depth", 3}, {"inner_expand", 2}, {"inner_optimizer", "momentum"}}},
        Settings{"conv", {{"inner", "conv"}, {"gradient", "batch"}}},
        Settings{"conv_momentum", {{"inner", "conv"}, {"inner_optimizer", "momentum"}, {"inner_bias", false}}}),
    [](const auto& test) { return test.param.name; });

TEST(Ttt, IsTttLinearAndTttMlp) {
  for (const std::string inner : {"linear", "mlp"}) {
    for (const bool mamba : {false, true}) {
      const nlohmann::json options = {
          {"heads", 2}, {"mini_batch", 5}, {"gate", mamba}, {"share_qk", mamba}, {"base_lr", 0.3}};
      const OwnedLayer generic = stirred("ttt", 8, with(options, {{"inner", inner}}));
      const OwnedLayer fused = stirred("ttt_" + inner, 8, options);
      expect_same(generic, fused, 18, rounding);
    }
  }
}

// Adam by its formulas, of one weight and gradients of one token at a time.
TEST(InnerOptimizer, AdamIsItsDefinition) {
  const double g[] = {0.5, -2, 0, 1e-9};
  Tensors statistics = {Tensor::zeros({1, 1, 1, 1}, DType::f64), Tensor::zeros({1, 1, 1, 1}, DType::f64)};
  const InnerOptimizer adam(InnerOptimizer::Kind::adam);
  const Tensor first = adam.updates(Tensor::from<double>({1, 1, 3, 1}, {g[0], g[1], g[2]}), statistics, 0);
  const Tensor last = adam.updates(Tensor::from<double>({1, 1, 1, 1}, {g[3]}), statistics, 3);
  double m = 0, v = 0;
  for (int t = 1; t <= 4; ++t) {
    m = 0.9 * m + 0.1 * g[t - 1];
    v = 0.999 * v + 0.001 * g[t - 1] * g[t - 1];
    const double update = m / (1 - std::pow(0.9, t)) / (std::sqrt(v / (1 - std::pow(0.999, t))) + 1e-8);
    EXPECT_NEAR(t < 4 ? first.data<double>()[t - 1] : last.item(), update, 1e-13) << t;
  }
}

TEST(InnerOptimizer, AdamHasAFiniteGradientWhereAWeightNeverHadOne) {
  Tensors statistics = {Tensor::zeros({1, 1, 1, 2}, DType::f64), Tensor::zeros({1, 1, 1, 2}, DType::f64)};
  const Tensor gradients = Tensor::zeros({1, 1, 3, 2}, DType::f64).variable();
  const Tensor updates = InnerOptimizer(InnerOptimizer::Kind::adam).updates(gradients, statistics, 0);
  const Tensor slopes = grad(ops::sum(updates), std::array{gradients})[0];
  for (const double slope : slopes.values<double>()) EXPECT_TRUE(std::isfinite(slope));
}

// A model of one's own: two affine maps side by side, one through a sine.
class Waves final : public InnerModel {
 public:
  PoolVector<Map> maps() const override {
    return {{.in = 2, .out = 2, .W = {2, 2}, .b = {1, 2}}, {.in = 2, .out = 2, .W = {2, 2}, .b = {1, 2}}};
  }
  Tensor operator()(const Tensor& x, const Apply& apply) const override { return ops::sin(apply(0, x)) * apply(1, x); }
};

TEST(Learner, TakesTheGradientOfAnyModelMadeOfOps) {
  const std::int64_t n = 4;
  const Waves model;
  const Learner learner(model, InnerOptimizer(), {});
  Learner::Store store;
  for (std::uint64_t seed : {1U, 3U}) {
    store.push_back({normal({1, 1, 2, 2}, seed).variable(), normal({1, 1, 1, 2}, seed + 1).variable(), {}, {}, {}, {}});
  }
  const Tensors weights = {store[0].W, store[0].b, store[1].W, store[1].b};
  const Tensor k = normal({1, 1, n, 2}, 5), v = normal({1, 1, n, 2}, 6);
  const Tensor ones = Tensor::full({1, 1, n, 1}, 1, DType::f64);
  learner.train(store, k, v, ones, 0);
  const Tensor predicted =
      model(k, [&](std::size_t l, const Tensor& x) { return ops::matmul(x, weights[2 * l]) + weights[2 * l + 1]; });
  const Tensors expected = grad(ops::scale(ops::sum(ops::square(predicted - v)), 0.5), weights);
  const Tensors sums = {store[0].W_sum, store[0].b_sum, store[1].W_sum, store[1].b_sum};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_LT(distance(sums[i], expected[i]), 1e-13) << i;
}

class FusedTtt : public testing::TestWithParam<const char*> {};

TEST_P(FusedTtt, LengthsThatAreNoMultipleOfTheMiniBatchAreRead) {
  const OwnedLayer layer = stirred(GetParam(), 8, {{"heads", 2}, {"mini_batch", 16}});
  const Tensor x = normal({2, 50, 8}, 1);
  const Tensor whole = layer(x);
  for (const std::int64_t T : {1, 15, 16, 17, 33}) {
    EXPECT_LT(distance(layer(ops::slice(x, 1, 0, T)), ops::slice(whole, 1, 0, T)), 1e-12) << T;
  }
}

// The rates grow out of all bounds: what cannot be represented is infinite or NaN, in time and with no crash.
TEST_P(FusedTtt, RatesThatDivergeGiveNoNumber) {
  const OwnedLayer layer = make_layer(GetParam(), 8, {{"heads", 2}, {"base_lr", 1e6}}, DType::f32);
  for (const Parameter& parameter : layer.parameters) {
    if (parameter.spec().name == "ttt_norm_weight") {
      parameter.set_value(Tensor::full(parameter.spec().shape, 1e20).variable());
    }
  }
  const Tensor x = normal({1, 100, 8}, 1, DType::f32);
  const Tensors results = outputs_and_gradients(layer, x, normal({1, 100, 8}, 2, DType::f32));
  const Tensor& y = results.back();
  EXPECT_TRUE(std::ranges::any_of(y.values<float>().last(8), [](float value) { return !std::isfinite(value); }));
  const Tensor& dx = results[results.size() - 2];
  EXPECT_TRUE(std::ranges::any_of(dx.values<float>(), [](float value) { return !std::isfinite(value); }));
}

// Within a mini-batch all tokens go through the same products, where 0 times infinity is no number.
TEST_P(FusedTtt, AnInfiniteInputReachesNoEarlierMiniBatch) {
  const OwnedLayer layer = make_layer(GetParam(), 8, {{"heads", 2}, {"mini_batch", 4}}, DType::f32);
  const Tensor x = normal({1, 30, 8}, 1, DType::f32);
  Tensor broken = x.clone();
  broken.data<float>()[18 * 8 + 3] = std::numeric_limits<float>::infinity();
  const Tensor y = layer(x), other = layer(broken);
  EXPECT_EQ(distance(ops::slice(other, 1, 0, 16), ops::slice(y, 1, 0, 16)), 0);
  const Tensor later = ops::slice(other, 1, 18, 30);
  for (const float value : later.values<float>()) EXPECT_FALSE(std::isfinite(value));
}

TEST_P(FusedTtt, TheStateIsWeightsAndSums) {
  const std::int64_t d = 4, H = 2;
  const OwnedLayer layer = make_layer(GetParam(), d * H, {{"heads", H}}, DType::f32);
  const std::int64_t weights = GetParam() == std::string("ttt_linear") ? d * d + d : 2 * 4 * d * d + 4 * d + d;
  EXPECT_EQ(layer.layer->initial_state(1).bytes(), 4 * 2 * H * weights);
}

TEST_P(FusedTtt, TheStateStaysAsItIsWithoutATape) {
  const OwnedLayer layer = stirred(GetParam(), 8, {{"heads", 2}, {"mini_batch", 4}});
  const Tensor x = normal({2, 11, 8}, 3);
  const NoTape off;
  EXPECT_LT(distance(in_chunks(layer, x, {1, 1, 6, 1, 1, 1}).first, layer(x)), 1e-12);
}

INSTANTIATE_TEST_SUITE_P(All, FusedTtt, testing::Values("ttt_linear", "ttt_mlp"),
                         [](const auto& test) { return test.param; });

TEST(TttMlp, WarmsItsRateUpOverTheFirstTenthOfTraining) {
  const Tensor x = normal({1, 20, 8}, 1);
  const auto y = [&](const char* name, double base_lr, const Context& context) {
    return stirred(name, 8, {{"heads", 2}, {"base_lr", base_lr}})(x, context);
  };
  const Tensor tenth = y("ttt_mlp", 0.01, {}), whole = y("ttt_mlp", 0.1, {});
  EXPECT_LT(distance(y("ttt_mlp", 0.1, {.training = true, .progress = 0}), tenth), 1e-12);
  EXPECT_GT(distance(tenth, whole), 1e-4);
  EXPECT_LT(distance(y("ttt_mlp", 0.1, {.training = true, .progress = 0.05}), y("ttt_mlp", 0.055, {})), 1e-12);
  EXPECT_EQ(distance(y("ttt_mlp", 0.1, {.training = true, .progress = 0.1}), whole), 0);
  EXPECT_EQ(distance(y("ttt_mlp", 0.1, {.training = true, .progress = 1}), whole), 0);
  EXPECT_EQ(distance(y("ttt_linear", 0.1, {.training = true}), y("ttt_linear", 0.1, {})), 0);
}

TEST(Ttt, RefusesWhatItCannotDo) {
  EXPECT_THROW(make_layer("ttt", 6, {{"heads", 2}}), UsageError);  // odd heads' width with rotary positions
  EXPECT_THROW(make_layer("ttt_linear", 6, {{"heads", 4}}), UsageError);
  EXPECT_THROW(make_layer("ttt", 8, {{"inner_optimizer", "adam"}, {"form", "dual"}}), UsageError);
}

TEST(Ttt, AsksForAConvolutionInTheMambaBackbone) {
  for (const char* name : {"ttt", "ttt_linear", "ttt_mlp"}) {
    const LayerEntry& entry = layer_registry().get(name);
    EXPECT_EQ(entry.wishes(Options(entry.options, {}, name)).temporal_convolution, 0);
    EXPECT_EQ(entry.wishes(Options(entry.options, {{"share_qk", true}, {"conv_kernel", 3}}, name)).temporal_convolution,
              3);
  }
}

TEST(FastWeights, MemoryIsASmallMultipleOfTheInputs) {
  // Forward and backward of q, k, v of 2048 tokens: gradients, z, and checkpoints of 16 by 16 matrices.
  const std::int64_t B = 1, T = 2048, H = 1, d = 16;
  const Shape rows{B, T, H, d};
  const Tensor q = normal(rows, 1, DType::f32).variable(), k = normal(rows, 2, DType::f32).variable(),
               v = normal(rows, 3, DType::f32).variable();
  const Tensor eta = Tensor::full({B, T, H}, 0.01), scale = Tensor::full({16}, 0.5);
  const Tensor weight = Tensor::full({H, d}, 1), bias = Tensor::zeros({H, d});
  const Tensor W = normal({B, H, d, d}, 4, DType::f32), b = Tensor::zeros({B, H, 1, d});
  const ops::FastMap map{W, b, Tensor::zeros(W.shape()), Tensor::zeros(b.shape())};
  reset_pool_peak();
  const std::size_t before = pool_statistics().bytes_in_use;
  {
    const ops::FastWeights result = ops::fast_weights({q, k, v, eta, scale, weight, bias}, std::array{map}, {});
    grad(ops::sum(result.z), std::array{q, k, v});
  }
  EXPECT_LT(pool_statistics().peak_bytes_in_use - before, 4 * 3 * q.bytes());
}

}  // namespace
}  // namespace zoo
