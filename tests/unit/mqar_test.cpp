#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "tests/unit/example_hash.h"
#include "tests/unit/task_testing.h"
#include "zoo/core/error.h"
#include "zoo/core/task.h"

namespace zoo {
namespace {

using nlohmann::json;
using testing::HasSubstr;

Example mqar_example(const Task& task, std::uint64_t index, Split split = Split::train) {
  return test::make_example(task, split, index);
}

// Of the first 100 examples of each split.
std::string hash(const json& options) {
  const auto task = make_task("mqar", options);
  test::ExampleHash hash;
  for (const Split split : {Split::train, Split::validation, Split::test}) hash.add(*task, split, 100);
  return hash.text();
}

// These pin the generator: results made with other hashes are of other data.
TEST(Mqar, GoldenHashes) {
  EXPECT_EQ(hash({}), "23815652841aeb0d");
  EXPECT_EQ(hash({{"seq_len", 128}, {"kv_pairs", 8}}), "d1f106d3558b7a91");
  EXPECT_EQ(hash({{"seq_len", 512}, {"kv_pairs", 64}}), "7801c7f48e703001");
  EXPECT_EQ(hash({{"vocab_size", 256}, {"kv_pairs", 8}, {"random_non_queries", true}}), "3541de2d5796bbf9");
  EXPECT_EQ(hash({{"vocab_size", 256}, {"kv_pairs", 8}, {"random_non_queries", true}, {"filler_collisions", true}}),
            "4c09e6d601f64949");
  EXPECT_EQ(hash({{"seq_len", 96}, {"alpha", 1}, {"num_passes", 3}}), "97ccf12527579ea9");
}

struct Settings {
  std::int64_t vocab_size, seq_len, kv_pairs, num_passes;
  bool random_non_queries;

  json options() const {
    return {{"vocab_size", vocab_size},
            {"seq_len", seq_len},
            {"kv_pairs", kv_pairs},
            {"num_passes", num_passes},
            {"random_non_queries", random_non_queries}};
  }
};

// The smallest there are, the tightest, several passes, and ranges that are no multiples of a machine word.
const Settings structures[] = {{8192, 64, 4, 1, false}, {5, 4, 1, 1, false},    {17, 16, 4, 1, true},
                               {257, 256, 64, 1, true}, {100, 98, 4, 10, true}, {101, 100, 9, 3, false},
                               {8192, 512, 64, 1, true}};

TEST(Mqar, QueriesAskForKeysOfTheContext) {
  for (const Settings& settings : structures) {
    SCOPED_TRACE(settings.options().dump());
    const auto task = make_task("mqar", settings.options());
    EXPECT_EQ(task->vocab_size(), settings.vocab_size);
    EXPECT_EQ(task->seq_len(), settings.seq_len);
    const std::int64_t half = settings.vocab_size / 2;
    const auto context = static_cast<std::size_t>(2 * settings.kv_pairs * settings.num_passes);
    for (std::uint64_t index = 0; index < 200; ++index) {
      const Example example = mqar_example(*task, index);
      std::map<std::int32_t, std::int32_t> value_of;
      std::set<std::int32_t> values;
      for (std::size_t t = 0; t < context; t += 2) {
        const std::int32_t key = example.tokens[t], value = example.tokens[t + 1];
        ASSERT_TRUE(1 <= key && key < half) << key;
        ASSERT_TRUE(half <= value && value < settings.vocab_size) << value;
        const auto pairs = static_cast<std::size_t>(settings.kv_pairs);
        ASSERT_EQ(key, example.tokens[t % (2 * pairs)]) << "each pass repeats the first";
        ASSERT_EQ(value, example.tokens[t % (2 * pairs) + 1]) << "each pass repeats the first";
        value_of[key] = value;
        values.insert(value);
        ASSERT_EQ(example.labels[t], unlabelled);
        ASSERT_EQ(example.labels[t + 1], unlabelled);
      }
      ASSERT_EQ(static_cast<std::int64_t>(value_of.size()), settings.kv_pairs) << "keys differ";
      ASSERT_EQ(static_cast<std::int64_t>(values.size()), settings.kv_pairs) << "values differ";
      std::set<std::int32_t> asked;
      for (std::size_t t = context; t < example.tokens.size(); ++t) {
        const std::int32_t token = example.tokens[t], label = example.labels[t];
        if (label == unlabelled) {
          ASSERT_FALSE(value_of.contains(token)) << "filler " << token << " at " << t << " is a live key";
          ASSERT_TRUE(settings.random_non_queries || token == 0) << token;
          continue;
        }
        ASSERT_EQ((t - context) % 2, 0u) << "queries stand at context + 2 * gap";
        ASSERT_TRUE(value_of.contains(token)) << token;
        ASSERT_EQ(label, value_of[token]);
        ASSERT_TRUE(asked.insert(token).second) << "key " << token << " is asked for twice";
      }
      ASSERT_EQ(static_cast<std::int64_t>(asked.size()), settings.kv_pairs);
    }
  }
}

double chi_square(const std::map<std::vector<int>, double>& expected, const std::map<std::vector<int>, int>& counts) {
  double sum = 0;
  for (const auto& [outcome, mean] : expected) {
    const auto at = counts.find(outcome);
    const double difference = (at == counts.end() ? 0 : at->second) - mean;
    sum += difference * difference / mean;
  }
  return sum;
}

// The probability of every ordered way to draw `count` of the gaps one after another without replacement.
std::map<std::vector<int>, double> gap_probabilities(int gaps, int count, double alpha) {
  std::map<std::vector<int>, double> all;
  const std::function<void(std::vector<int>, double)> extend = [&](std::vector<int> drawn, double probability) {
    if (static_cast<int>(drawn.size()) == count) {
      all[drawn] = probability;
      return;
    }
    double left = 0;
    for (int gap = 0; gap < gaps; ++gap) {
      if (std::ranges::find(drawn, gap) == drawn.end()) left += std::pow(gap + 1, alpha - 1);
    }
    for (int gap = 0; gap < gaps; ++gap) {
      if (std::ranges::find(drawn, gap) != drawn.end()) continue;
      std::vector<int> longer = drawn;
      longer.push_back(gap);
      extend(longer, probability * std::pow(gap + 1, alpha - 1) / left);
    }
  };
  extend({}, 1);
  return all;
}

TEST(Mqar, GapsAreSequentialDrawsWithoutReplacement) {
  struct GapCase {
    int seq_len, kv_pairs;
    double alpha;
  };
  const GapCase cases[] = {{64, 1, 0.01}, {64, 1, 1}, {64, 1, 2.5}, {16, 2, 0.01}, {16, 2, 2}, {12, 3, 0.01}};
  for (const auto& [seq_len, kv_pairs, alpha] : cases) {
    SCOPED_TRACE(fmt::format("seq_len {} kv_pairs {} alpha {}", seq_len, kv_pairs, alpha));
    const int context = 2 * kv_pairs;
    auto expected = gap_probabilities((seq_len - context) / 2, kv_pairs, alpha);
    const int draws = 60'000;
    for (auto& [gaps, probability] : expected) probability *= draws;
    const auto task = make_task("mqar", {{"seq_len", seq_len}, {"kv_pairs", kv_pairs}, {"alpha", alpha}});
    std::map<std::vector<int>, int> counts;
    for (std::uint64_t index = 0; index < draws; ++index) {
      const Example example = mqar_example(*task, index);
      std::vector<int> gaps;
      for (int i = 0; i < kv_pairs; ++i) {
        const auto at = std::find(example.tokens.begin() + context, example.tokens.end(),
                                  example.tokens[static_cast<std::size_t>(2 * i)]);
        gaps.push_back(static_cast<int>(at - example.tokens.begin() - context) / 2);
      }
      ++counts[gaps];
    }
    const auto degrees = static_cast<double>(expected.size() - 1);
    // For 5 degrees and more, the mean and eight standard deviations are exceeded with probability below 1e-5.
    EXPECT_LT(chi_square(expected, counts), degrees + 8 * std::sqrt(2 * degrees));
  }
}

TEST(Mqar, KeysAndValuesAreUniform) {
  const auto task = make_task("mqar", {{"vocab_size", 90}, {"seq_len", 32}, {"kv_pairs", 8}});
  const int draws = 20'000;
  // By place in the context, so that an order among the drawn would show.
  std::vector<std::vector<int>> keys(8, std::vector<int>(44)), values(8, std::vector<int>(45));
  for (std::uint64_t index = 0; index < draws; ++index) {
    const Example example = mqar_example(*task, index);
    for (std::size_t i = 0; i < 8; ++i) {
      ++keys[i][static_cast<std::size_t>(example.tokens[2 * i] - 1)];
      ++values[i][static_cast<std::size_t>(example.tokens[2 * i + 1] - 45)];
    }
  }
  for (const auto* kind : {&keys, &values}) {
    for (const std::vector<int>& counts : *kind) test::expect_uniform(counts, kind == &keys ? "keys" : "values");
  }
}

struct FillerShares {
  double zero = 0, live_key = 0, other_key = 0, value = 0;
  double count = 0;
};

FillerShares filler_shares(bool collisions) {
  const auto task = make_task("mqar", {{"vocab_size", 100},
                                       {"seq_len", 96},
                                       {"kv_pairs", 10},
                                       {"random_non_queries", true},
                                       {"filler_collisions", collisions}});
  FillerShares shares;
  for (std::uint64_t index = 0; index < 3000; ++index) {
    const Example example = mqar_example(*task, index);
    std::set<std::int32_t> keys;
    for (std::size_t i = 0; i < 10; ++i) keys.insert(example.tokens[2 * i]);
    for (std::size_t t = 20; t < 96; ++t) {
      if (example.labels[t] != unlabelled) continue;
      const std::int32_t token = example.tokens[t];
      ++(token == 0             ? shares.zero
         : token >= 50          ? shares.value
         : keys.contains(token) ? shares.live_key
                                : shares.other_key);
      ++shares.count;
    }
  }
  return shares;
}

TEST(Mqar, RandomFillerIsUniformOverAllButTheLiveKeys) {
  for (const bool collisions : {false, true}) {
    const FillerShares shares = filler_shares(collisions);
    EXPECT_EQ(shares.count, 3000 * 66);
    const double tokens = collisions ? 100 : 90;
    const auto expect_share = [&](double found, double of) {
      const double mean = shares.count * of / tokens;
      EXPECT_NEAR(found, mean, 5 * std::sqrt(mean)) << of << " of " << tokens;
    };
    expect_share(shares.zero, 1);
    expect_share(shares.value, 50);
    expect_share(shares.other_key, 39);
    expect_share(shares.live_key, collisions ? 10 : 0);
  }
}

TEST(Mqar, FillerOptionsChangeNothingElse) {
  const json plain = {{"vocab_size", 100}, {"seq_len", 96}, {"kv_pairs", 10}};
  json random = plain, colliding = plain;
  random["random_non_queries"] = colliding["random_non_queries"] = colliding["filler_collisions"] = true;
  const auto reference = make_task("mqar", plain);
  for (const json& options : {random, colliding}) {
    const auto task = make_task("mqar", options);
    for (std::uint64_t index = 0; index < 100; ++index) {
      const Example expected = mqar_example(*reference, index), found = mqar_example(*task, index);
      ASSERT_EQ(found.labels, expected.labels);
      for (std::size_t t = 0; t < 96; ++t) {
        ASSERT_TRUE(expected.tokens[t] == 0 || found.tokens[t] == expected.tokens[t]) << t;
      }
    }
  }
  json pointless = plain;
  pointless["filler_collisions"] = true;
  EXPECT_EQ(mqar_example(*make_task("mqar", pointless), 3).tokens, mqar_example(*reference, 3).tokens);
}

std::string refusal(const json& options) {
  return test::refusal("mqar", options);
}

TEST(Mqar, SettingsThatCannotBeMetAreRefused) {
  EXPECT_THAT(refusal({{"seq_len", 63}}), HasSubstr("seq_len 63 is odd; it must be even, for example 64"));
  EXPECT_THAT(refusal({{"kv_pairs", 17}}),
              HasSubstr("seq_len 64 is too short for kv_pairs 17 and num_passes 1: the context takes 2 * kv_pairs * "
                        "num_passes = 34 positions and the queries need 2 * kv_pairs = 34 more, together 68; raise "
                        "seq_len to 68 or lower kv_pairs to 16"));
  EXPECT_EQ(refusal({{"kv_pairs", 16}}), "accepted");
  EXPECT_THAT(refusal({{"kv_pairs", 6}, {"num_passes", 5}}),
              HasSubstr("together 72; raise seq_len to 72 or lower kv_pairs to 5"));
  EXPECT_EQ(refusal({{"kv_pairs", 5}, {"num_passes", 5}}), "accepted");
  EXPECT_THAT(refusal({{"kv_pairs", 4'000'000}, {"num_passes", 4'000'000}}), HasSubstr("is too short"));
  EXPECT_THAT(refusal({{"num_passes", 100}}), HasSubstr("raise seq_len to 808"));
  EXPECT_THAT(refusal({{"vocab_size", 64}}),
              HasSubstr("vocab_size 64 must be greater than seq_len 64; raise it to 65"));
  EXPECT_EQ(refusal({{"vocab_size", 65}, {"kv_pairs", 16}}), "accepted");
  for (const json& options : std::vector<json>{{{"kv_pairs", 0}},
                                               {{"kv_pairs", -1}},
                                               {{"num_passes", 0}},
                                               {{"seq_len", 0}},
                                               {{"alpha", -1}},
                                               {{"alpha", "nan"}},
                                               {{"vocab_size", 1e12}},
                                               {{"kv_pair", 4}}}) {
    EXPECT_THAT(refusal(options), HasSubstr(options.begin().key())) << options;
  }
}

TEST(Mqar, TellsItsSlices) {
  const auto slices = make_task("mqar", {{"seq_len", 128}, {"kv_pairs", 8}})->slices();
  ASSERT_EQ(slices.size(), 2u);
  EXPECT_EQ(slices[0].name, "seq_len");
  EXPECT_EQ(slices[0].value, 128);
  EXPECT_EQ(slices[1].name, "kv_pairs");
  EXPECT_EQ(slices[1].value, 8);
}

TEST(Mqar, DescribesAnExample) {
  const auto task = make_task("mqar", {{"vocab_size", 20}, {"seq_len", 14}, {"kv_pairs", 2}, {"num_passes", 2}});
  Example example;
  example.tokens = {3, 10, 5, 12, 3, 10, 5, 12, 5, 0, 0, 0, 3, 0};
  example.labels.assign(14, unlabelled);
  example.labels[8] = 12;
  example.labels[12] = 10;
  EXPECT_EQ(task->describe(example),
            "14 tokens: keys are 1 to 9, values 10 to 19\n"
            "context, positions 0 to 7, the same pairs 2 times:\n"
            "  key 3 value 10\n"
            "  key 5 value 12\n"
            "queries:\n"
            "  position 8 (gap 0): key 5, label 12\n"
            "  position 12 (gap 2): key 3, label 10\n"
            "filler: 4 positions, all 0\n");
  example.tokens = example.labels = {1, 2};
  EXPECT_THROW(task->describe(example), Error);
}

}  // namespace
}  // namespace zoo
