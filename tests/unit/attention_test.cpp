#include "zoo/cpu/attention.h"

#include <gmock/gmock.h>

#include <cmath>

#include "layer_testing.h"
#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/core/parallel.h"
#include "zoo/ops/families.h"

namespace zoo {
namespace {

using namespace testing_support;
using testing::HasSubstr;

ops::AttentionOptions scaled() {
  ops::AttentionOptions options;
  options.scale = 0;
  return options;
}

TEST(Attention, LooksUpTheValueOfTheMatchingKeyExactly) {
  // Key s is 100 e_s, so that a matching query's weight is 1 and every other exp(-10000) = 0.
  const std::int64_t T = 150;
  Tensor codes = Tensor::zeros({1, T, 1, T});
  for (std::int64_t t = 0; t < T; ++t) codes.data<float>()[t * T + t] = 100;
  const Tensor v = whole({1, T, 1, 5}, 1, 1000, DType::f32);
  ops::AttentionOptions options;
  EXPECT_EQ(distance(ops::attention(codes, codes, v, {}, options), v), 0);
}

TEST(Attention, TheWindowEndsWhereItShould) {
  const std::int64_t T = 80, window = 5;
  const Tensor q = normal({1, T, 1, 4}, 1), k = normal({1, T, 1, 4}, 2), v = normal({1, T, 1, 4}, 3);
  ops::AttentionOptions options = scaled();
  options.window = window;
  const Tensor y = ops::attention(q, k, v, {}, options);
  const std::int64_t moved = 70;
  Tensor other = v.clone();
  other.data<double>()[moved * 4] += 1;
  const Tensor changed = ops::attention(q, k, other, {}, options);
  for (std::int64_t t = 0; t < T; ++t) {
    const bool sees = t - moved >= 0 && t - moved < window;
    EXPECT_EQ(at(y, {0, t, 0, 0}) != at(changed, {0, t, 0, 0}), sees) << t;
  }
}

TEST(Attention, GroupedHeadsReadTheirKeyValueHead) {
  const std::int64_t B = 2, T = 9, H = 6, Hkv = 2, d = 4;
  const Tensor q = normal({B, T, H, d}, 1), k = normal({B, T, Hkv, d}, 2), v = normal({B, T, Hkv, d}, 3);
  const auto repeat = [&](const Tensor& x) {
    return ops::reshape(ops::broadcast_to(ops::reshape(x, {B, T, Hkv, 1, d}), {B, T, Hkv, H / Hkv, d}), {B, T, H, d});
  };
  EXPECT_EQ(distance(ops::attention(q, k, v, {}, scaled()), ops::attention(q, repeat(k), repeat(v), {}, scaled())), 0);
}

TEST(Attention, RowsAreThoseOfTheWhole) {
  const std::int64_t B = 3, T = 100;
  const Rows rows = rows_at(B, T, {0, 7, 8, 99, 200, 265, 299});
  for (const nlohmann::json& options :
       {nlohmann::json{{"heads", 2}}, {{"heads", 2}, {"positions", "rope"}, {"window", 20}, {"kv_heads", 1}}}) {
    const OwnedLayer layer = make_layer("attention", 8, options);
    const Tensor x = normal({B, T, 8}, 4).variable();
    const Tensor all = ops::gather_rows(ops::reshape(layer(x), {B * T, 8}), rows.indices);
    const Tensor some = layer(x, {.rows = &rows});
    EXPECT_LT(distance(all, some), 1e-14);  // sums of at most 100 terms of size 1, in another order
    Tensors inputs = layer.values();
    inputs.push_back(x);
    const Tensors of_all = grad(ops::sum(ops::square(all)), inputs),
                  of_some = grad(ops::sum(ops::square(some)), inputs);
    for (std::size_t i = 0; i < inputs.size(); ++i) EXPECT_LT(distance(of_all[i], of_some[i]), 1e-12) << i;
  }
}

TEST(Attention, ChunksGiveTheWholeAndTheWindowBoundsTheState) {
  const OwnedLayer layer = make_layer("attention", 8, {{"heads", 2}, {"window", 7}, {"positions", "rope"}});
  const Tensor x = normal({2, 30, 8}, 5);
  const auto [y, state] = in_chunks(layer, x, {1, 4, 13, 1, 11});
  EXPECT_LT(distance(y, layer(x)), 1e-14);
  EXPECT_EQ(state.get("k").shape(), (Shape{2, 6, 2, 4}));
  EXPECT_EQ(state.bytes(), 2 * 2 * 6 * 8 * 8);
}

TEST(Attention, DropoutDoesNotDependOnHowTheWorkIsCut) {
  const std::int64_t B = 3, T = 140, H = 2, d = 4;
  const Tensor q = normal({B, T, H, d}, 1), k = normal({B, T, H, d}, 2), v = normal({B, T, H, d}, 3);
  ops::AttentionOptions options = scaled();
  options.dropout = 0.4;
  options.random = RandomKey::of(1, "dropout");
  const Tensor whole_batch = ops::attention(q, k, v, {}, options);

  options.first_sequence = 1;  // the last two sequences on their own
  EXPECT_EQ(distance(ops::attention(q.rows(1, 2), k.rows(1, 2), v.rows(1, 2), {}, options), whole_batch.rows(1, 2)), 0);
  options.first_sequence = 0;

  // The last 50 queries fall into other tiles than within the whole.
  const Tensor last = ops::attention(ops::slice(q, 1, T - 50, T), k, v, {}, options);
  EXPECT_LT(distance(last, ops::slice(whole_batch, 1, T - 50, T)), 1e-14);

  const int before = threads();
  set_threads(before == 1 ? 2 : 1);
  EXPECT_EQ(distance(ops::attention(q, k, v, {}, options), whole_batch), 0);
  set_threads(before);

  options.random = RandomKey::of(2, "dropout");
  EXPECT_GT(distance(ops::attention(q, k, v, {}, options), whole_batch), 0.1);
}

TEST(Attention, FewSequencesAndHeadsAreSharedOutByTheirQueries) {
  const std::int64_t T = 300, d = 16;
  const int before = threads(), many = 3;
  cpu::AttentionSizes sizes;
  sizes.batch = 1;
  sizes.queries = sizes.keys = T;
  sizes.heads = 2;
  sizes.d = sizes.dv = d;
  EXPECT_EQ(sizes.slices(many), many);
  const Rows rows = rows_at(1, T, {0, 63, 64, 130, 131, 256, 299});
  for (const std::int64_t window : {0, 100}) {
    for (const bool some : {false, true}) {
      ops::AttentionOptions options = scaled();
      options.window = window;
      options.dropout = 0.2;
      options.random = RandomKey::of(1, "dropout");
      const Tensors inputs = {normal(some ? Shape{rows.count(), 2, d} : Shape{1, T, 2, d}, 1).variable(),
                              normal({1, T, 1, d}, 2).variable(), normal({1, T, 1, d}, 3).variable(),
                              normal({1, T, 1}, 4).variable()};
      const auto results = [&](int count) {
        set_threads(count);
        const Tensor y = some ? ops::attention(inputs[0], inputs[1], inputs[2], inputs[3], rows, T, options)
                              : ops::attention(inputs[0], inputs[1], inputs[2], inputs[3], options);
        Tensors all = {y};
        for (const Tensor& gradient : grad(ops::sum(ops::square(y)), inputs)) all.push_back(gradient);
        return all;
      };
      const Tensors one = results(1), three = results(many);
      set_threads(before);
      for (std::size_t i = 0; i < one.size(); ++i) {
        // Each query is computed by one thread. A key's gradient is a sum of up to 600 terms of size 1, in another
        // order.
        const bool of_queries = i < 2;
        EXPECT_LE(distance(one[i], three[i]), of_queries ? 0 : 1e-12) << "result " << i << ", window " << window;
      }
    }
  }
}

TEST(Attention, DropoutKeepsTheRightShareAndTheExpectation) {
  // Equal scores and values of 1: y_t (t+1) (1-p) is the number of weights kept.
  const std::int64_t B = 8, T = 128;
  const double p = 0.3;
  const Tensor zeros = Tensor::zeros({B, T, 1, 1}, DType::f64);
  ops::AttentionOptions options;
  options.dropout = p;
  options.random = RandomKey::of(3, "dropout");
  const Tensor y = ops::attention(zeros, zeros, Tensor::full({B, T, 1, 1}, 1, DType::f64), {}, options);
  double kept = 0, all = 0;
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t t = 0; t < T; ++t) {
      const double count = at(y, {b, t, 0, 0}) * static_cast<double>(t + 1) * (1 - p);
      EXPECT_NEAR(count, std::round(count), 1e-10);
      kept += count;
      all += static_cast<double>(t + 1);
    }
  }
  EXPECT_NEAR(kept / all, 1 - p, 4 * std::sqrt(p * (1 - p) / all));  // four standard deviations
}

TEST(Attention, DropoutIsOnInTrainingOnly) {
  const OwnedLayer layer = make_layer("attention", 8, {{"dropout", 0.5}});
  const Tensor x = normal({2, 10, 8}, 6);
  EXPECT_EQ(distance(layer(x), make_layer("attention", 8)(x)), 0);
  EXPECT_GT(distance(layer(x, {.training = true}), layer(x)), 1e-3);
}

TEST(Attention, CountsTheCausalHalfOnce) {
  const std::int64_t B = 2, T = 70, H = 3, d = 5;
  const Tensor q = normal({B, T, H, d}, 1).variable();
  double before = flops_counted();
  const Tensor y = ops::attention(q, q, q, {}, scaled());
  const double pairs = B * H * T * (T + 1) / 2.0;
  EXPECT_EQ(flops_counted() - before, 2 * pairs * 2 * d);
  before = flops_counted();
  grad(ops::sum(y), std::array{q});
  EXPECT_EQ(flops_counted() - before, 2 * 2 * pairs * 2 * d);
  before = flops_counted();
  ops::AttentionOptions options = scaled();
  options.window = 4;
  ops::attention(q, q, q, {}, options);
  EXPECT_EQ(flops_counted() - before, 2.0 * B * H * (1 + 2 + 3 + 4 * (T - 3)) * 2 * d);
}

TEST(Attention, LargeScoresNeitherOverflowNorVanish) {
  const Tensor q = ops::scale(normal({1, 100, 1, 8}, 1, DType::f32), 1e4);
  const Tensor v = normal({1, 100, 1, 8}, 2, DType::f32);
  const Tensor x = q.variable();
  const Tensor y = ops::attention(x, x, v, {}, scaled());
  const Tensor dx = grad(ops::sum(y), std::array{x})[0];
  for (const Tensor& tensor : {y, dx}) {
    for (const float value : tensor.values<float>()) ASSERT_TRUE(std::isfinite(value));
  }
}

TEST(Attention, SettingsThatCannotBeMetNameTheirNumbers) {
  const auto message = [](std::int64_t d_model, const nlohmann::json& options) -> std::string {
    try {
      make_layer("attention", d_model, options);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message(10, {{"heads", 4}}), HasSubstr("d_model 10 is not divisible by heads 4"));
  EXPECT_THAT(message(12, {{"heads", 4}, {"kv_heads", 3}}), HasSubstr("heads 4 is not divisible by kv_heads 3"));
  EXPECT_THAT(message(10, {{"heads", 2}, {"positions", "rope"}}), HasSubstr("a head is 5 wide"));
}

}  // namespace
}  // namespace zoo
