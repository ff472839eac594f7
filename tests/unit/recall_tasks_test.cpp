// in_context_recall, noisy_recall and fuzzy_recall: what is asked can be answered from what was shown, and how often
// what is drawn.

#include <gmock/gmock.h>

#include <map>
#include <set>
#include <utility>

#include "tests/unit/task_testing.h"

namespace zoo::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

struct PairCase {
  std::string task;
  json options;
  std::int64_t keys, words;  // tokens 0 .. keys-1 are keys, keys .. words-1 values, the rest noise
};

const PairCase pair_cases[] = {
    {"in_context_recall", json::object(), 8, 16},
    {"in_context_recall", {{"vocab_size", 5}, {"seq_len", 4}}, 2, 5},
    {"in_context_recall", {{"vocab_size", 128}, {"seq_len", 64}}, 64, 128},
    {"noisy_recall", json::object(), 8, 16},
    {"noisy_recall", {{"vocab_size", 12}, {"seq_len", 30}, {"noise_vocab_size", 7}, {"frac_noise", 1}}, 2, 5},
    {"noisy_recall", {{"frac_noise", 0}}, 8, 16},
};

// The reference: a dictionary, filled pair by pair.
TEST(RecallTasks, EveryKeyShownBeforeIsAskedForAndNothingElse) {
  for (const auto& [name, options, keys, words] : pair_cases) {
    SCOPED_TRACE(name + options.dump());
    const auto task = make_task(name, options);
    const auto length = static_cast<std::size_t>(task->seq_len());
    for (const Split split : {Split::validation, Split::test}) {
      for (std::uint64_t index = 0; index < 200; ++index) {
        const Example example = make_example(*task, split, index);
        std::map<std::int32_t, std::int32_t> value_of;
        for (std::size_t t = 0; t + 1 < length; t += 2) {
          const std::int32_t key = example.tokens[t], value = example.tokens[t + 1];
          ASSERT_EQ(example.labels[t + 1], unlabelled);
          if (key >= words) {
            ASSERT_GE(value, words) << "noise comes in twos, position " << t;
            ASSERT_EQ(example.labels[t], unlabelled);
            continue;
          }
          ASSERT_LT(key, keys) << t;
          ASSERT_TRUE(keys <= value && value < words) << t;
          const auto [bound, is_new] = value_of.emplace(key, value);
          ASSERT_EQ(value, bound->second) << "the value of key " << key << " stays, position " << t;
          ASSERT_EQ(example.labels[t], is_new ? unlabelled : value) << t;
        }
        ASSERT_TRUE(value_of.contains(example.tokens.back())) << "the last key was shown";
        ASSERT_EQ(example.labels.back(), value_of[example.tokens.back()]);
      }
    }
  }
}

TEST(RecallTasks, TrainLabelsAreTheNextTokens) {
  for (const std::string name : {"in_context_recall", "noisy_recall", "fuzzy_recall"}) {
    const auto task = make_task(name, json::object());
    for (std::uint64_t index = 0; index < 100; ++index) {
      const Example example = make_example(*task, Split::train, index);
      for (std::size_t t = 0; t + 1 < example.tokens.size(); ++t) {
        ASSERT_EQ(example.labels[t], example.tokens[t + 1]) << name << " " << t;
      }
      ASSERT_NE(example.labels.back(), unlabelled);
    }
  }
}

TEST(RecallTasks, KeysValuesAndLastKeysAreUniform) {
  for (const std::string name : {"in_context_recall", "noisy_recall"}) {
    SCOPED_TRACE(name);
    const auto task = make_task(name, json::object());
    std::vector<int> keys(8), first_values(8), last_of_shown(8), noise(16);
    for (std::uint64_t index = 0; index < 2000; ++index) {
      const Example example = make_example(*task, Split::test, index);
      std::vector<std::int32_t> shown;
      for (std::size_t t = 0; t + 1 < example.tokens.size(); t += 2) {
        const std::int32_t key = example.tokens[t], value = example.tokens[t + 1];
        if (key >= 16) {
          ++noise[static_cast<std::size_t>(key - 16)];
          ++noise[static_cast<std::size_t>(value - 16)];
          continue;
        }
        ++keys[static_cast<std::size_t>(key)];
        if (std::ranges::find(shown, key) != shown.end()) continue;
        shown.push_back(key);
        ++first_values[static_cast<std::size_t>(value - 8)];
      }
      // All eight are shown in all but one in about 600 examples.
      if (shown.size() == 8) {
        const auto at = std::ranges::find(shown, example.tokens.back());
        ++last_of_shown[static_cast<std::size_t>(at - shown.begin())];
      }
    }
    expect_uniform(keys, "keys");
    expect_uniform(first_values, "values");
    expect_uniform(last_of_shown, "which of the keys shown is asked for at the end");
    if (name == "noisy_recall") expect_uniform(noise, "noise");
  }
}

TEST(RecallTasks, NoiseTakesItsShareOfAllSlotsButOne) {
  for (const double share : {0.0, 0.2, 0.8, 1.0}) {
    const auto task = make_task("noisy_recall", {{"seq_len", 64}, {"frac_noise", share}});
    std::vector<int> pairs_at(31);
    int noise = 0;
    for (std::uint64_t index = 0; index < 3000; ++index) {
      const Example example = make_example(*task, Split::train, index);
      for (std::size_t slot = 0; slot < 31; ++slot) {
        const bool is_noise = example.tokens[2 * slot] >= 16;
        noise += is_noise;
        pairs_at[slot] += !is_noise;
      }
    }
    expect_share(noise, 3000 * 30, share, "noise slots");
    expect_uniform(pairs_at, "where pairs are");
  }
}

struct Motif {
  std::vector<std::int32_t> key, value;
};

/// Pairs of fuzzy_recall's tokens and its last label, where keys are below `keys` and `padding` is the last token.
std::vector<Motif> parse_motifs(const Example& example, std::int32_t keys, std::int32_t padding) {
  std::vector<std::int32_t> tokens = example.tokens;
  tokens.push_back(example.labels.back());
  std::vector<Motif> pairs;
  for (const std::int32_t token : tokens) {
    if (token == padding) {
      EXPECT_TRUE(pairs.empty()) << "padding is on the left";
      continue;
    }
    if (token < keys && (pairs.empty() || !pairs.back().value.empty())) pairs.emplace_back();
    (token < keys ? pairs.back().key : pairs.back().value).push_back(token);
  }
  return pairs;
}

bool all_differ(const std::vector<std::int32_t>& tokens) {
  return std::set(tokens.begin(), tokens.end()).size() == tokens.size();
}

struct MotifCase {
  int vocab_size, seq_len, k_motif_size, v_motif_size;
  json options() const {
    return {{"vocab_size", vocab_size},
            {"seq_len", seq_len},
            {"k_motif_size", k_motif_size},
            {"v_motif_size", v_motif_size}};
  }
};

TEST(FuzzyRecall, EveryRepeatedKeyIsAskedForAndAnswered) {
  // The published settings, the tightest, and one with long motifs.
  for (const MotifCase& settings : {MotifCase{16, 128, 3, 3}, {7, 13, 3, 3}, {4, 5, 1, 1}, {128, 300, 5, 9}}) {
    SCOPED_TRACE(settings.options().dump());
    const auto task = make_task("fuzzy_recall", settings.options());
    const std::int32_t keys = (settings.vocab_size - 1) / 2, padding = settings.vocab_size - 1;
    const auto longest_key = static_cast<std::size_t>(settings.k_motif_size);
    const auto longest_value = static_cast<std::size_t>(settings.v_motif_size);
    for (const Split split : {Split::train, Split::validation, Split::test}) {
      for (std::uint64_t index = 0; index < 100; ++index) {
        const Example example = make_example(*task, split, index);
        const std::vector<Motif> pairs = parse_motifs(example, keys, padding);
        std::map<std::vector<std::int32_t>, std::vector<std::int32_t>> value_of;
        std::vector<std::int32_t> labels;  // behind the padding
        bool last_was_shown = false;
        for (const auto& [key, value] : pairs) {
          ASSERT_TRUE(all_differ(key) && all_differ(value)) << "no token twice in a motif";
          ASSERT_LE(key.size(), longest_key);
          ASSERT_TRUE(1 <= value.size() && value.size() <= longest_value);
          ASSERT_TRUE(split == Split::train || key.size() == longest_key);
          const auto [bound, is_new] = value_of.emplace(key, value);
          ASSERT_EQ(value, bound->second) << "a key's value stays";
          last_was_shown = !is_new;
          labels.insert(labels.end(), key.size(), unlabelled);
          for (const std::int32_t token : value) labels.push_back(is_new ? unlabelled : token);
        }
        ASSERT_TRUE(last_was_shown) << "example " << index << " of " << split_name(split);
        if (split == Split::train) continue;
        std::vector<std::int32_t> expected(example.tokens.size() + 1 - labels.size(), unlabelled);
        expected.insert(expected.end(), labels.begin(), labels.end());
        expected.erase(expected.begin());
        ASSERT_EQ(example.labels, expected);
      }
    }
  }
}

// The published generator's start of the probe can lie behind the last pair; ours differs in these examples alone.
TEST(FuzzyRecall, TheProbeIsMissingOnlyOnRequest) {
  const auto ours = make_task("fuzzy_recall", json::object());
  const auto theirs = make_task("fuzzy_recall", {{"probe_may_be_missing", true}});
  for (const Split split : {Split::train, Split::test}) {
    constexpr int examples = 6000;
    int missing = 0;
    for (std::uint64_t index = 0; index < examples; ++index) {
      const Example given = make_example(*theirs, split, index);
      const std::vector<Motif> pairs = parse_motifs(given, 7, 15);
      const bool shown =
          std::any_of(pairs.begin(), pairs.end() - 1, [&](const Motif& pair) { return pair.key == pairs.back().key; });
      missing += !shown;
      ASSERT_EQ(make_example(*ours, split, index) == given, shown) << index;
    }
    EXPECT_TRUE(examples * 0.01 < missing && missing < examples * 0.035)
        << "about 2% of " << split_name(split) << ": " << missing;
  }
}

TEST(FuzzyRecall, LengthsAndTokensAreUniform) {
  const auto task = make_task("fuzzy_recall", json::object());
  // Of the last pair, the probe: those in between depend on what room is left.
  std::vector<int> key_lengths(3), value_lengths(3), key_tokens(7), value_tokens(8);
  std::map<std::pair<std::int32_t, std::int32_t>, int> key_orders;
  for (std::uint64_t index = 0; index < 6000; ++index) {
    const Motif probe = parse_motifs(make_example(*task, Split::train, index), 7, 15).back();
    ++key_lengths[probe.key.size() - 1];
    ++value_lengths[probe.value.size() - 1];
    ++key_tokens[static_cast<std::size_t>(probe.key.front())];
    ++value_tokens[static_cast<std::size_t>(probe.value.front() - 7)];
    if (probe.key.size() > 1) ++key_orders[{probe.key[0], probe.key[1]}];
  }
  expect_uniform(key_lengths, "lengths of keys");
  expect_uniform(value_lengths, "lengths of values");
  expect_uniform(key_tokens, "first tokens of keys");
  expect_uniform(value_tokens, "first tokens of values");
  std::vector<int> orders;
  for (const auto& [tokens, count] : key_orders) orders.push_back(count);
  EXPECT_EQ(orders.size(), 42U);
  expect_uniform(orders, "ordered pairs of tokens");
}

TEST(RecallTasks, SettingsThatCannotBeMetAreRefused) {
  EXPECT_THAT(
      refusal("in_context_recall", {{"seq_len", 127}}),
      HasSubstr("task in_context_recall: seq_len 127 is odd; it must be even, two tokens a pair, for example 128"));
  EXPECT_THAT(refusal("in_context_recall", {{"vocab_size", 3}}), HasSubstr("vocab_size"));
  EXPECT_THAT(
      refusal("noisy_recall", {{"vocab_size", 19}}),
      HasSubstr("task noisy_recall: vocab_size 19 less noise_vocab_size 16 leaves 3 tokens for keys and values; "
                "two of each are needed: raise vocab_size to 20"));
  EXPECT_EQ(refusal("noisy_recall", {{"vocab_size", 20}}), "accepted");
  EXPECT_THAT(refusal("noisy_recall", {{"noise_vocab_size", 100}}),
              HasSubstr("leaves 0 tokens for keys and values; two of each are needed: raise vocab_size to 104"));
  EXPECT_THAT(refusal("noisy_recall", {{"frac_noise", 1.1}}), HasSubstr("frac_noise"));
  EXPECT_THAT(
      refusal("fuzzy_recall", {{"vocab_size", 6}}),
      HasSubstr("k_motif_size 3 needs as many different key tokens, but vocab_size 6 has 2; raise vocab_size to "
                "7 or lower k_motif_size to 2"));
  EXPECT_THAT(
      refusal("fuzzy_recall", {{"v_motif_size", 9}}),
      HasSubstr("v_motif_size 9 needs as many different value tokens, but vocab_size 16 has 8; raise vocab_size "
                "to 18 or lower v_motif_size to 8"));
  EXPECT_EQ(refusal("fuzzy_recall", {{"v_motif_size", 9}, {"vocab_size", 18}}), "accepted");
  EXPECT_THAT(refusal("fuzzy_recall", {{"seq_len", 12}}),
              HasSubstr("seq_len 12 is too short for k_motif_size 3 and v_motif_size 3: a pair must have room twice; "
                        "raise seq_len to 13"));
  EXPECT_EQ(refusal("fuzzy_recall", {{"seq_len", 13}}), "accepted");
}

TEST(RecallTasks, DescribeSaysWhatIsWhat) {
  const auto task =
      make_task("noisy_recall", {{"vocab_size", 8}, {"seq_len", 8}, {"noise_vocab_size", 3}, {"frac_noise", 0.5}});
  Example example;
  example.tokens = {0, 3, 6, 5, 0, 3, 0};
  example.labels.assign(7, unlabelled);
  example.labels[4] = example.labels[6] = 3;
  EXPECT_EQ(task->describe(example),
            "7 tokens: keys are k0 to k1, values v2 to v4, noise n5 to n7\n"
            "      0 k0 v3 n6 n5 k0 v3 k0\n"
            "  label  .  .  .  . v3  . v3\n"
            "asked at the end: key 0, its value is 3\n");
  example.labels.pop_back();
  EXPECT_THROW(task->describe(example), Error);
}

TEST(RecallTasks, TellTheirSlices) {
  EXPECT_EQ(make_task("in_context_recall", {{"vocab_size", 32}})->slices(),
            (std::vector<Slice>{{"seq_len", 128}, {"vocab_size", 32}}));
  EXPECT_EQ(make_task("noisy_recall", {{"frac_noise", 0.6}})->slices(),
            (std::vector<Slice>{{"seq_len", 128}, {"vocab_size", 32}}));
}

}  // namespace
}  // namespace zoo::test
