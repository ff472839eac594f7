#include "zoo/gpu/attention.h"

#include <algorithm>
#include <string>

#include "gpu_testing.h"
#include "numbers.h"
#include "zoo/gpu/device_model.h"

namespace zoo::gpu {
namespace {

using cpu::AttentionSizes;
using testing::AllOf;
using testing::Each;
using testing::HasSubstr;

template <typename T>
struct Tensors {
  std::vector<T> q, k, v, bias, dy;
};

template <typename T>
struct Results {
  std::vector<T> y, log_sum, dq, dk, dv, dbias;
};

Tensors<float> random_tensors(const AttentionSizes& sizes, bool bias, float scale = 1) {
  const std::int64_t rows = sizes.batch * sizes.queries * sizes.heads;
  const std::int64_t kv_rows = sizes.batch * sizes.keys * sizes.kv_heads;
  return {normal_numbers(rows * sizes.d, 1, scale), normal_numbers(kv_rows * sizes.d, 2, scale),
          normal_numbers(kv_rows * sizes.dv, 3), normal_numbers(bias ? kv_rows : 0, 4),
          normal_numbers(rows * sizes.dv, 5)};
}

// What dropout multiplies a weight by: number `key` of the stream of the query at `position` decides.
double dropout_factor(const AttentionSizes& sizes, std::int64_t sequence, std::int64_t head, std::int64_t position,
                      std::int64_t key) {
  if (sizes.dropout == 0) return 1;
  const RandomKey random = cpu::attention_dropout_key(sizes, sequence, head).fold(static_cast<std::uint64_t>(position));
  const auto block = static_cast<std::uint32_t>(key / 8);
  const auto words = philox({block, 0, 0x64726f70U, 0},
                            {static_cast<std::uint32_t>(random.value), static_cast<std::uint32_t>(random.value >> 32)});
  const std::uint32_t number = words[static_cast<std::size_t>(key % 8 / 2)] >> (key % 2 * 16) & 0xffffU;
  return number < std::lround(sizes.dropout * 65536) ? 0 : 1 / (1 - sizes.dropout);
}

// The definition, a query at a time.
Results<double> plain(const AttentionSizes& sizes, const Tensors<float>& in) {
  const auto [d, dv] = std::pair{sizes.d, sizes.dv};
  Results<double> out;
  out.y.resize(in.dy.size());
  out.log_sum.resize(static_cast<std::size_t>(sizes.batch * sizes.queries * sizes.heads));
  out.dq.resize(in.q.size());
  out.dk.resize(in.k.size());
  out.dv.resize(in.v.size());
  out.dbias.resize(static_cast<std::size_t>(sizes.batch * sizes.keys * sizes.kv_heads));
  for (std::int64_t row = 0; row < static_cast<std::int64_t>(out.log_sum.size()); ++row) {
    const std::int64_t head = row % sizes.heads;
    const std::int64_t query = row / sizes.heads % sizes.queries;
    const std::int64_t sequence = row / sizes.heads / sizes.queries;
    const auto [begin, end] = sizes.visible(sizes.first_query + query);
    const auto kv_row = [&](std::int64_t key) {
      return (sequence * sizes.keys + key) * sizes.kv_heads + head / (sizes.heads / sizes.kv_heads);
    };
    std::vector<double> weights(static_cast<std::size_t>(end - begin));
    double total = 0;
    double largest = -1e300;
    for (std::int64_t key = begin; key < end; ++key) {
      double score = 0;
      for (std::int64_t i = 0; i < d; ++i) score += double{in.q[row * d + i]} * in.k[kv_row(key) * d + i];
      weights[key - begin] = score * sizes.scale + (in.bias.empty() ? 0 : in.bias[kv_row(key)]);
      largest = std::max(largest, weights[key - begin]);
    }
    for (double& weight : weights) total += weight = std::exp(weight - largest);
    for (double& weight : weights) weight /= total;
    out.log_sum[row] = largest + std::log(total);
    const auto factor = [&](std::int64_t key) {
      return dropout_factor(sizes, sequence, head, sizes.first_query + query, key);
    };
    double delta = 0;
    for (std::int64_t i = 0; i < dv; ++i) {
      for (std::int64_t key = begin; key < end; ++key)
        out.y[row * dv + i] += weights[key - begin] * factor(key) * in.v[kv_row(key) * dv + i];
      delta += out.y[row * dv + i] * in.dy[row * dv + i];
    }
    for (std::int64_t key = begin; key < end; ++key) {
      const double weight = weights[key - begin];
      double dweight = 0;
      for (std::int64_t i = 0; i < dv; ++i) {
        dweight += factor(key) * in.dy[row * dv + i] * in.v[kv_row(key) * dv + i];
        out.dv[kv_row(key) * dv + i] += weight * factor(key) * in.dy[row * dv + i];
      }
      const double dscore = weight * (dweight - delta);
      out.dbias[kv_row(key)] += dscore;
      for (std::int64_t i = 0; i < d; ++i) {
        out.dq[row * d + i] += sizes.scale * dscore * in.k[kv_row(key) * d + i];
        out.dk[kv_row(key) * d + i] += sizes.scale * dscore * in.q[row * d + i];
      }
    }
  }
  return out;
}

Results<float> on_device(const AttentionSizes& sizes, const Tensors<float>& in, Precision precision) {
  Stream stream;
  const auto copied = [&](const std::vector<float>& values) { return to_device(std::span(values), stream); };
  const DeviceBuffer<float> q = copied(in.q), k = copied(in.k), v = copied(in.v), bias = copied(in.bias);
  const DeviceBuffer<float> dy = copied(in.dy);
  const auto rows = static_cast<std::size_t>(sizes.batch * sizes.queries * sizes.heads);
  DeviceBuffer<float> y(in.dy.size()), log_sum(rows), delta(rows);
  DeviceBuffer<float> dq(in.q.size()), dk(in.k.size()), dv(in.v.size());
  DeviceBuffer<float> dbias(static_cast<std::size_t>(sizes.batch * sizes.keys * sizes.kv_heads));
  const cpu::AttentionInputs<float> inputs = {q.data(), k.data(), v.data(), bias.data(), nullptr, nullptr};
  attention_forward(sizes, inputs, {y.data(), log_sum.data()}, precision, stream);
  attention_backward(sizes, inputs, {y.data(), log_sum.data()}, dy.data(),
                     {dq.data(), dk.data(), dv.data(), dbias.data()}, delta.data(), precision, stream);
  return {to_host(y, stream),  to_host(log_sum, stream), to_host(dq, stream),
          to_host(dk, stream), to_host(dv, stream),      to_host(dbias, stream)};
}

LargestError errors_of(const Results<float>& results, const Results<double>& expected) {
  LargestError errors;
  errors.compare("y", results.y, expected.y);
  errors.compare("log_sum", results.log_sum, expected.log_sum);
  errors.compare("dq", results.dq, expected.dq);
  errors.compare("dk", results.dk, expected.dk);
  errors.compare("dv", results.dv, expected.dv);
  errors.compare("dbias", results.dbias, expected.dbias);
  return errors;
}

struct Case {
  const char* name;
  std::int64_t queries, keys, heads, kv_heads, d, dv, window, first_query;
  bool bias;

  friend void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }
};

AttentionSizes sizes_of(const Case& test) {
  AttentionSizes sizes;
  sizes.batch = test.queries < 20 ? 2 : 1;
  sizes.queries = test.queries;
  sizes.keys = test.keys;
  sizes.heads = test.heads;
  sizes.kv_heads = test.kv_heads;
  sizes.d = test.d;
  sizes.dv = test.dv;
  sizes.scale = 1 / std::sqrt(static_cast<double>(test.d));
  sizes.window = test.window;
  sizes.first_query = test.first_query;
  return sizes;
}

constexpr Case cases[] = {
    {"two keys", 2, 2, 1, 1, 1, 1, 0, 0, false},
    {"a group of heads", 17, 17, 4, 2, 16, 16, 0, 0, false},
    {"odd widths and a bias", 33, 33, 1, 1, 17, 5, 0, 0, true},
    {"several blocks", 70, 70, 2, 1, 8, 12, 0, 0, true},
    {"a window", 70, 70, 1, 1, 8, 8, 5, 0, false},
    {"behind cached keys", 3, 40, 2, 1, 8, 8, 0, 37, false},
    {"behind cached keys, with a window", 33, 70, 2, 2, 8, 8, 33, 37, true},
    {"one query", 1, 70, 2, 1, 16, 16, 0, 69, false},
    {"keys that nobody sees", 4, 70, 1, 1, 8, 8, 3, 33, false},
    {"wide heads", 17, 17, 1, 1, 70, 130, 0, 0, false},
};

class Attention : public testing::TestWithParam<Case> {};

// Of float32, splitting into TF32 loses 3 2^-22 of a product at most, and a float sum 2^-24 of each of its partial
// sums: together well below 1e-6 of a score near 1. Its error is the relative error of a weight; dq and dk are sums of
// products of what errs so. Over the tests' sizes the factor is below 3.
TEST_P(Attention, IsTheDefinition) {
  const AttentionSizes sizes = sizes_of(GetParam());
  const Tensors<float> tensors = random_tensors(sizes, GetParam().bias);
  const LargestError errors = errors_of(on_device(sizes, tensors, Precision::float32), plain(sizes, tensors));
  EXPECT_LT(errors.value(), 2e-6) << errors.text();
  RecordProperty("errors", errors.text());
}

INSTANTIATE_TEST_SUITE_P(Cases, Attention, testing::ValuesIn(cases), [](const auto& test) {
  std::string name = test.param.name;
  std::erase_if(name, [](char c) { return c == ','; });
  std::ranges::replace(name, ' ', '_');
  return name;
});

// Rounding to p bits errs by u = 2^-(p+1) 0.72 / sqrt(3) of a number, root mean square. y = sum p v has two such errors
// in each product and, by way of the scores, two more in p: 2 u. ds = p (dp - delta) has two in dp, two in p and those
// of y in delta; with two more in the products dq and dk come to 3 to 4 u.
TEST(AttentionPrecision, ErrsAsItsFormatDoes) {
  const AttentionSizes sizes = sizes_of(cases[1]);
  const Tensors<float> tensors = random_tensors(sizes, false);
  const Results<double> expected = plain(sizes, tensors);
  for (const auto& [precision, bits] : {std::pair{Precision::tf32, 10}, std::pair{Precision::bf16, 7}}) {
    const double unit = std::ldexp(1.0, -bits - 1) * 0.72 / std::sqrt(3.0);
    const LargestError errors = errors_of(on_device(sizes, tensors, precision), expected);
    EXPECT_LT(errors.value(), 4.5 * unit) << errors.text();
    EXPECT_GT(errors.value(), unit) << "more exact than its format: not rounded as the hardware does; "
                                    << errors.text();
  }
}

// The same bounds: what is dropped is exactly 0. Spans that begin within a block of random numbers, groups of heads,
// later sequences.
TEST(AttentionDropout, DropsTheWeightsThatTheCpuDrops) {
  for (const Case& test : {Case{"", 33, 33, 4, 2, 8, 5, 0, 0, true}, Case{"", 70, 75, 1, 1, 8, 8, 9, 5, false}}) {
    AttentionSizes sizes = sizes_of(test);
    sizes.dropout = 0.3;
    sizes.random = {0x123456789abcdef0};
    sizes.first_sequence = 5;
    const Tensors<float> tensors = random_tensors(sizes, test.bias);
    const LargestError errors = errors_of(on_device(sizes, tensors, Precision::float32), plain(sizes, tensors));
    EXPECT_LT(errors.value(), 2e-6) << errors.text();
  }
}

TEST(AttentionExtremes, LargeScoresStayFinite) {
  const AttentionSizes sizes = sizes_of(cases[1]);
  // Scores near 900: e to the power of them is beyond float. Their own rounding, 900 2^-22, is the weights' error.
  const Tensors<float> tensors = random_tensors(sizes, false, 30);
  EXPECT_LT(errors_of(on_device(sizes, tensors, Precision::float32), plain(sizes, tensors)).value(), 900 * 1e-6);
}

TEST(AttentionExtremes, WhatNoQuerySeesMayBeAnything) {
  const AttentionSizes sizes = sizes_of({"", 4, 40, 1, 1, 8, 8, 3, 20, true});
  const Tensors<float> tensors = random_tensors(sizes, true);
  Tensors<float> poisoned = tensors;
  const auto poison = [&](std::vector<float>& values, std::int64_t width) {
    for (std::int64_t row = 0; row < sizes.batch * sizes.keys; ++row) {
      if (const std::int64_t key = row % sizes.keys; key < 18 || key >= 24)
        std::fill_n(values.begin() + row * width, width, std::nanf(""));
    }
  };
  poison(poisoned.k, sizes.d);
  poison(poisoned.v, sizes.dv);
  poison(poisoned.bias, 1);
  const Results<float> results = on_device(sizes, poisoned, Precision::float32);
  EXPECT_LT(errors_of(results, plain(sizes, tensors)).value(), 2e-6);
  EXPECT_THAT(std::span(results.dk).first(static_cast<std::size_t>(18 * sizes.d)), Each(0.0F));
}

TEST(AttentionRepeats, BitForBitInEveryOrder) {
  const AttentionSizes sizes = sizes_of({"", 33, 33, 2, 1, 8, 8, 0, 0, true});
  const Tensors<float> tensors = random_tensors(sizes, true);
  set_schedule_seed(1);
  const Results<float> first = on_device(sizes, tensors, Precision::float32);
  for (const std::uint64_t seed : {2, 3}) {
    set_schedule_seed(seed);
    const Results<float> second = on_device(sizes, tensors, Precision::float32);
    EXPECT_EQ(first.y, second.y);
    EXPECT_EQ(first.log_sum, second.log_sum);
    EXPECT_EQ(first.dq, second.dq);
    EXPECT_EQ(first.dk, second.dk);
    EXPECT_EQ(first.dv, second.dv);
    EXPECT_EQ(first.dbias, second.dbias);
  }
}

TEST(AttentionLaunch, BlocksAreAsLargeAsSharedMemoryAllows) {
  const AttentionSizes sizes = sizes_of({"", 100, 100, 3, 1, 64, 64, 0, 0, false});
  const LaunchShape forward = attention_forward_kernels(sizes, Precision::float32)[0];
  EXPECT_EQ(forward.threads, 128U);
  EXPECT_EQ(forward.blocks, 3U * 2);
  // 32 keys and values, and 64 queries, of 64 + 4 floats; and 64 rows of 32 + 4 weights.
  EXPECT_EQ(forward.shared_bytes, 4U * (32 * 68 * 2 + 64 * 68 + 64 * 36));
  EXPECT_EQ(resident_blocks(forward), 5U);

  const Device usual = device();
  Device small = a100();
  small.name = "small";
  small.shared_bytes_per_block = 32 * 1024;
  emulate_device(small);
  EXPECT_EQ(attention_forward_kernels(sizes, Precision::float32)[0].threads, 64U);
  const AttentionSizes wide = sizes_of(cases[9]);
  EXPECT_THAT(error_of([&] { attention_backward_kernels(wide, Precision::float32); }),
              AllOf(HasSubstr("attention_query_gradient on small: a block of 16 rows needs "),
                    HasSubstr("of which it can have 32768")));
  const AttentionSizes narrow = sizes_of({"", 33, 33, 1, 1, 40, 40, 0, 0, false});
  EXPECT_EQ(attention_backward_kernels(narrow, Precision::float32)[1].threads, 64U);
  const Tensors<float> tensors = random_tensors(narrow, false);
  EXPECT_LT(errors_of(on_device(narrow, tensors, Precision::float32), plain(narrow, tensors)).value(), 2e-6);
  emulate_device(usual);
}

TEST(AttentionLaunch, OneLargeBlockIsBetterThanTwoWithFewerWarpsTogether) {
  const auto threads = [](std::int64_t d, const Device& model) {
    const ModelledDevice like(model);
    const LaunchShape shape =
        attention_backward_kernels(sizes_of({"", 100, 100, 1, 1, d, d, 0, 0, false}), Precision::float32)[1];
    return std::pair(shape.threads, resident_blocks(shape));
  };
  // 32 rows of 2 (d + 4) floats, and for each warp 16 rows more and 16 of 36.
  EXPECT_EQ(threads(128, h100()), std::pair(128U, 2U));
  EXPECT_EQ(threads(192, h100()), std::pair(64U, 2U));   // two of two warps are as many as one of four
  EXPECT_EQ(threads(256, h100()), std::pair(128U, 1U));  // two of one would fit beside each other
  EXPECT_EQ(threads(256, a100()), std::pair(64U, 1U));
}

TEST(AttentionLaunch, RefusesWhatItDoesNotCompute) {
  Stream stream;
  const std::int32_t row = 0;
  const auto refused = [&](const AttentionSizes& sizes, const std::int32_t* rows) {
    return error_of([&] {
      attention_forward(sizes, {nullptr, nullptr, nullptr, nullptr, rows, rows}, {nullptr, nullptr}, Precision::float32,
                        stream);
    });
  };
  AttentionSizes sizes = sizes_of(cases[1]);
  EXPECT_THAT(refused(sizes, &row), HasSubstr("it was given rows: compute all and gather them"));
  sizes.dropout = 1;
  EXPECT_THAT(refused(sizes, nullptr), HasSubstr("dropout is 1; it must lie in [0, 1)"));
  sizes = sizes_of(cases[1]);
  sizes.first_query = 1;
  EXPECT_THAT(refused(sizes, nullptr), HasSubstr("keys is 17; each query needs its own key"));
  sizes = sizes_of(cases[1]);
  sizes.kv_heads = 3;
  EXPECT_THAT(refused(sizes, nullptr), HasSubstr("heads is 4; it must be a multiple of kv_heads"));
  sizes.d = std::int64_t{1} << 40;
  EXPECT_THAT(refused(sizes, nullptr), HasSubstr("d is 1099511627776; it must be from 1 to 2147483647"));
}

}  // namespace
}  // namespace zoo::gpu
