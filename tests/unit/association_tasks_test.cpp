// forgetting and compositional: the context answers every query, and nothing but the context does.

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/unit/task_testing.h"

namespace zoo::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

/// Sizes of one setting of either task.
struct Association {
  json options;
  std::size_t pairs, queries;  // in the context; asked
};

struct Query {
  std::size_t gap;
  std::int32_t key, label, group;
};

/// The queries of an example, expected to be laid out as in mqar: at even gaps behind the context, each asking for
/// another key, between filler that is no key of the example.
std::vector<Query> queries(const Task& task, const Association& setting, const Example& example) {
  std::set<std::int32_t> keys, asked;
  for (std::size_t i = 0; i < setting.pairs; ++i) keys.insert(example.tokens[2 * i]);
  std::vector<Query> found;
  for (std::size_t t = 0; t < example.tokens.size(); ++t) {
    const std::int32_t token = example.tokens[t];
    if (example.labels[t] == unlabelled) {
      EXPECT_EQ(example.groups[t], 0);
      EXPECT_TRUE(t < 2 * setting.pairs || !keys.contains(token)) << "filler " << token << " is a key";
      EXPECT_TRUE(t < 2 * setting.pairs || token == 0 || setting.options.contains("random_non_queries"));
      continue;
    }
    EXPECT_GE(t, 2 * setting.pairs);
    EXPECT_EQ(t % 2, 0U);
    EXPECT_TRUE(asked.insert(token).second) << "key " << token << " is asked for twice";
    EXPECT_TRUE(task.vocab_size() / 2 <= example.labels[t]) << "an answer is a value";
    found.push_back({t / 2 - setting.pairs, token, example.labels[t], example.groups[t]});
  }
  EXPECT_EQ(found.size(), setting.queries);
  return found;
}

/// Mean and variance of a sample.
class Moments {
 public:
  void add(double value) { ++count_, sum_ += value, squares_ += value * value; }
  double mean() const { return sum_ / count_; }
  double variance() const { return squares_ / count_ - mean() * mean(); }
  /// Standard deviation of the mean.
  double error() const { return std::sqrt(variance() / count_); }

 private:
  double count_ = 0, sum_ = 0, squares_ = 0;
};

/// Expects that the queries of every group stand at the same distance behind the context on average, to five standard
/// deviations.
void expect_gaps_tell_nothing(const std::string& name, const Association& setting) {
  const auto task = make_task(name, setting.options);
  Moments all;
  std::map<std::int32_t, Moments> by_group;
  for (std::uint64_t index = 0; index < 3000; ++index) {
    for (const Query& query : queries(*task, setting, make_example(*task, Split::train, index))) {
      all.add(static_cast<double>(query.gap));
      by_group[query.group].add(static_cast<double>(query.gap));
    }
  }
  for (const auto& [group, gaps] : by_group) EXPECT_NEAR(gaps.mean(), all.mean(), 5 * gaps.error()) << group;
}

const Association forgetting_cases[] = {
    {json::object(), 20, 8},
    {{{"vocab_size", 11}, {"seq_len", 10}, {"kv_pairs", 2}, {"max_rewrites", 1}}, 3, 2},
    {{{"vocab_size", 64}, {"seq_len", 40}, {"kv_pairs", 8}, {"max_rewrites", 0}, {"random_non_queries", true}}, 8, 8},
    {{{"vocab_size", 100}, {"seq_len", 80}, {"kv_pairs", 8}, {"max_rewrites", 4}, {"random_non_queries", true}}, 21, 8},
};

// The reference: a dictionary that is written pair by pair.
TEST(Forgetting, TheLastValueIsTheAnswer) {
  for (const Association& setting : forgetting_cases) {
    SCOPED_TRACE(setting.options.dump());
    const auto task = make_task("forgetting", setting.options);
    const auto groups = task->groups();
    for (const Split split : {Split::train, Split::test}) {
      for (std::uint64_t index = 0; index < 100; ++index) {
        const Example example = make_example(*task, split, index);
        std::map<std::int32_t, std::vector<std::int32_t>> values_of;
        std::set<std::int32_t> values;
        for (std::size_t i = 0; i < setting.pairs; ++i) {
          const std::int32_t key = example.tokens[2 * i], value = example.tokens[2 * i + 1];
          ASSERT_TRUE(1 <= key && key < task->vocab_size() / 2) << key;
          ASSERT_TRUE(task->vocab_size() / 2 <= value && value < task->vocab_size()) << value;
          ASSERT_TRUE(values.insert(value).second) << "value " << value << " is written twice";
          values_of[key].push_back(value);
        }
        std::vector<std::size_t> keys_of_group(groups.size());
        for (const Query& query : queries(*task, setting, example)) {
          ASSERT_EQ(query.label, values_of.at(query.key).back());
          ASSERT_EQ(groups.at(static_cast<std::size_t>(query.group)).value, std::ssize(values_of[query.key]) - 1);
          ++keys_of_group[static_cast<std::size_t>(query.group)];
        }
        ASSERT_LE(keys_of_group.front() - keys_of_group.back(), 1U) << "as many keys of each number of rewrites";
        ASSERT_TRUE(std::ranges::is_sorted(keys_of_group, std::greater()));
      }
    }
  }
}

// Of w + 1 writes at different uniform places of 1 .. W, the last is at (w + 1)(W + 1)/(w + 2) on average.
TEST(Forgetting, AllOrdersOfWritesAreEquallyProbable) {
  const Association& setting = forgetting_cases[0];
  const auto task = make_task("forgetting", setting.options);
  std::map<std::int32_t, Moments> last_place;
  std::vector<int> first_written(20);
  for (std::uint64_t index = 0; index < 3000; ++index) {
    const Example example = make_example(*task, Split::train, index);
    for (const Query& query : queries(*task, setting, example)) {
      std::size_t last = 0;
      for (std::size_t i = 0; i < 20; ++i) {
        if (example.tokens[2 * i] == query.key) last = i + 1;
      }
      last_place[query.group].add(static_cast<double>(last));
      if (query.group == 0) ++first_written[last - 1];
    }
  }
  for (const auto& [rewrites, place] : last_place) {
    EXPECT_NEAR(place.mean(), (rewrites + 1) * 21.0 / (rewrites + 2), 5 * place.error()) << rewrites;
  }
  expect_uniform(first_written, "places of keys written once");
}

TEST(Forgetting, ThePlaceOfAQueryTellsNothingOfRewrites) {
  expect_gaps_tell_nothing("forgetting", forgetting_cases[0]);
}

const Association compositional_cases[] = {
    {json::object(), 20, 8},
    {{{"vocab_size", 5}, {"seq_len", 4}, {"kv_pairs", 1}, {"max_hops", 1}}, 1, 1},
    {{{"vocab_size", 37}, {"seq_len", 36}, {"kv_pairs", 12}, {"max_hops", 4}, {"random_non_queries", true}}, 12, 6},
    {{{"vocab_size", 33}, {"seq_len", 28}, {"kv_pairs", 9}, {"max_hops", 3}, {"random_non_queries", true}}, 9, 5},
};
// What the chains of each case take: 1, 2, ..., max_hops, then again, the last what is left.
const std::vector<std::multiset<std::int64_t>> compositional_hops = {
    {1, 2, 3, 4, 1, 2, 3, 4}, {1}, {1, 2, 3, 4, 1, 1}, {1, 2, 3, 1, 2}};

// The reference: a dictionary, looked up until it gives a value.
TEST(Compositional, FollowingTheChainGivesTheAnswer) {
  for (std::size_t number = 0; number < std::size(compositional_cases); ++number) {
    const Association& setting = compositional_cases[number];
    SCOPED_TRACE(setting.options.dump());
    const auto task = make_task("compositional", setting.options);
    const auto groups = task->groups();
    const auto first_value = static_cast<std::int32_t>(task->vocab_size() / 2);
    for (const Split split : {Split::train, Split::test}) {
      for (std::uint64_t index = 0; index < 100; ++index) {
        const Example example = make_example(*task, split, index);
        std::map<std::int32_t, std::int32_t> follows;
        std::set<std::int32_t> followers;
        for (std::size_t i = 0; i < setting.pairs; ++i) {
          const std::int32_t key = example.tokens[2 * i], follower = example.tokens[2 * i + 1];
          ASSERT_TRUE(1 <= key && key < first_value) << key;
          ASSERT_TRUE(follows.emplace(key, follower).second) << "key " << key << " is written twice";
          ASSERT_TRUE(followers.insert(follower).second) << "two chains meet in " << follower;
        }
        std::multiset<std::int64_t> all_hops;
        for (const Query& query : queries(*task, setting, example)) {
          ASSERT_FALSE(followers.contains(query.key)) << "a chain is asked for at its start";
          std::int32_t token = query.key;
          std::int64_t hops = 0;
          for (; token < first_value; ++hops) token = follows.at(token);
          ASSERT_EQ(query.label, token);
          ASSERT_EQ(groups.at(static_cast<std::size_t>(query.group)).value, hops);
          all_hops.insert(hops);
        }
        ASSERT_EQ(all_hops, compositional_hops[number]);
      }
    }
  }
}

TEST(Compositional, PlacesInTheContextTellNothingOfHops) {
  const Association& setting = compositional_cases[0];
  const auto task = make_task("compositional", setting.options);
  std::vector<std::vector<int>> starts(4, std::vector<int>(20));
  for (std::uint64_t index = 0; index < 4000; ++index) {
    const Example example = make_example(*task, Split::train, index);
    for (const Query& query : queries(*task, setting, example)) {
      std::size_t place = 0;
      while (example.tokens[2 * place] != query.key) ++place;
      ++starts[static_cast<std::size_t>(query.group)][place];
    }
  }
  for (const std::vector<int>& places : starts) expect_uniform(places, "places of a chain's first pair");
}

TEST(Compositional, ThePlaceOfAQueryTellsNothingOfHops) {
  expect_gaps_tell_nothing("compositional", compositional_cases[0]);
}

TEST(AssociationTasks, SettingsThatCannotBeMetAreRefused) {
  EXPECT_THAT(refusal("forgetting", {{"kv_pairs", 3}}),
              HasSubstr("task forgetting: kv_pairs 3 is too few for max_rewrites 3: there is a key for each number of "
                        "rewrites, 0 to 3; raise kv_pairs to 4 or lower max_rewrites to 2"));
  EXPECT_EQ(refusal("forgetting", {{"kv_pairs", 4}}), "accepted");
  EXPECT_THAT(refusal("forgetting", {{"seq_len", 54}}),
              HasSubstr("task forgetting: seq_len 54 is too short: the context of 20 pairs takes 40 positions and 8 "
                        "queries need 16 more; raise seq_len to 56"));
  EXPECT_EQ(refusal("forgetting", {{"seq_len", 56}}), "accepted");
  EXPECT_THAT(refusal("forgetting", {{"seq_len", 127}}), HasSubstr("task forgetting: seq_len 127 is odd"));
  EXPECT_THAT(refusal("compositional", {{"vocab_size", 128}}),
              HasSubstr("task compositional: vocab_size 128 must be greater than seq_len 128; raise it to 129"));
  EXPECT_EQ(refusal("compositional", {{"vocab_size", 129}}), "accepted");
  EXPECT_THAT(
      refusal("compositional", {{"kv_pairs", 9}}),
      HasSubstr("task compositional: kv_pairs 9 is too few for max_hops 4: a chain of each number of hops, 1 to "
                "4, takes 10 pairs; raise kv_pairs to 10 or lower max_hops to 3"));
  EXPECT_EQ(refusal("compositional", {{"kv_pairs", 10}}), "accepted");
  EXPECT_EQ(refusal("compositional", {{"kv_pairs", 9}, {"max_hops", 3}}), "accepted");
  EXPECT_THAT(refusal("compositional", {{"kv_pairs", 60}}), HasSubstr("seq_len 128 is too short"));
}

TEST(AssociationTasks, TellTheirSlicesAndGroups) {
  const auto forgetting = make_task("forgetting", {{"max_rewrites", 2}});
  EXPECT_EQ(forgetting->slices(), (std::vector<Slice>{{"seq_len", 128}, {"kv_pairs", 8}, {"max_rewrites", 2}}));
  EXPECT_EQ(forgetting->groups(), (std::vector<Slice>{{"rewrites", 0}, {"rewrites", 1}, {"rewrites", 2}}));
  const auto compositional = make_task("compositional", {{"max_hops", 2}});
  EXPECT_EQ(compositional->slices(), (std::vector<Slice>{{"seq_len", 128}, {"kv_pairs", 20}, {"max_hops", 2}}));
  EXPECT_EQ(compositional->groups(), (std::vector<Slice>{{"hops", 1}, {"hops", 2}}));
}

TEST(AssociationTasks, DescribeTheirExamples) {
  Example example;
  example.tokens = {3, 12, 5, 14, 3, 11, 5, 0, 3, 0};
  example.labels.assign(10, unlabelled);
  example.labels[6] = 14;
  example.labels[8] = 11;
  EXPECT_EQ(make_task("forgetting", {{"vocab_size", 20}, {"seq_len", 10}, {"kv_pairs", 2}, {"max_rewrites", 1}})
                ->describe(example),
            "10 tokens: keys are 1 to 9, values 10 to 19\n"
            "context, positions 0 to 5, the last value of a key counts:\n"
            "  key 3 value 12\n"
            "  key 5 value 14\n"
            "  key 3 value 11 (rewrite 1)\n"
            "queries:\n"
            "  position 6 (gap 0): key 5, label 14 (rewrites: 0)\n"
            "  position 8 (gap 1): key 3, label 11 (rewrites: 1)\n"
            "filler: 2 positions, all 0\n");
  example.tokens = {3, 12, 5, 14, 4, 3, 5, 0, 4, 0};
  example.labels[8] = 12;
  EXPECT_EQ(make_task("compositional", {{"vocab_size", 20}, {"seq_len", 10}, {"kv_pairs", 3}, {"max_hops", 2}})
                ->describe(example),
            "10 tokens: keys are 1 to 9, values 10 to 19\n"
            "context, positions 0 to 5:\n"
            "  key 3 value 12\n"
            "  key 5 value 14\n"
            "  key 4 key 3\n"
            "queries:\n"
            "  position 6 (gap 0): key 5 -> 14, label 14\n"
            "  position 8 (gap 1): key 4 -> 3 -> 12, label 12\n"
            "filler: 2 positions, all 0\n");
}

}  // namespace
}  // namespace zoo::test
