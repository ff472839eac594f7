// selective_copying, compression, memorization and induction_heads: what is asked can be answered, and how often what
// is drawn.

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/unit/task_testing.h"

namespace zoo::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

struct CopyingCase {
  json options;
  std::int32_t blank, marker, first_data;
  std::size_t copied, length, asked_from;  // the answers' positions begin there
  bool answers_are_blank;
};

const CopyingCase copying_cases[] = {
    {json::object(), 14, 15, 0, 16, 256, 240, true},
    {{{"vocab_size", 4}, {"seq_len", 7}, {"num_tokens_to_copy", 3}}, 2, 3, 0, 3, 7, 4, true},
    {{{"form", "mamba"}}, 0, 15, 1, 16, 4112, 4096, false},
    {{{"form", "mamba"}, {"vocab_size", 5}, {"seq_len", 6}, {"num_tokens_to_copy", 6}}, 0, 4, 1, 6, 12, 6, false},
};

TEST(SelectiveCopying, LabelsAreTheDataTokensInOrder) {
  for (const CopyingCase& expected : copying_cases) {
    SCOPED_TRACE(expected.options.dump());
    const auto task = make_task("selective_copying", expected.options);
    ASSERT_EQ(task->seq_len(), static_cast<std::int64_t>(expected.length));
    for (const Split split : {Split::train, Split::test}) {
      for (std::uint64_t index = 0; index < 100; ++index) {
        const Example example = make_example(*task, split, index);
        std::vector<std::int32_t> data, labels;
        for (std::size_t t = 0; t < expected.asked_from; ++t) {
          const std::int32_t token = example.tokens[t];
          ASSERT_EQ(example.labels[t], unlabelled);
          if (token == expected.blank || token == expected.marker) continue;
          ASSERT_TRUE(expected.first_data <= token && token < expected.first_data + task->vocab_size() - 2) << token;
          data.push_back(token);
        }
        ASSERT_EQ(data.size(), expected.copied);
        for (std::size_t t = expected.asked_from; t < expected.length; ++t) {
          ASSERT_EQ(example.tokens[t], expected.answers_are_blank ? expected.blank : expected.marker);
          labels.push_back(example.labels[t]);
        }
        ASSERT_EQ(labels, data);
        const auto markers = static_cast<std::size_t>(std::ranges::count(example.tokens, expected.marker));
        ASSERT_EQ(markers, expected.answers_are_blank ? 1U : expected.copied);
        ASSERT_TRUE(!expected.answers_are_blank || example.tokens[expected.asked_from - 1] == expected.marker);
      }
    }
  }
}

TEST(SelectiveCopying, MadsBlanksStandBeforeEveryDataTokenAlike) {
  const auto task = make_task("selective_copying", json::object());
  std::vector<int> blanks(16), data(14);
  double squares = 0;
  constexpr int examples = 4000;
  for (std::uint64_t index = 0; index < examples; ++index) {
    const Example example = make_example(*task, Split::train, index);
    std::size_t next = 0;
    int run = 0;
    for (std::size_t t = 0; t < 239; ++t) {
      if (example.tokens[t] == 14) {
        ++run;
        continue;
      }
      ++data[static_cast<std::size_t>(example.tokens[t])];
      blanks[next++] += run;
      squares += (run - 223.0 / 16) * (run - 223.0 / 16);
      run = 0;
    }
    ASSERT_EQ(run, 0) << "no blank between the last data token and the copy token";
  }
  expect_uniform(blanks, "blanks before each data token");
  expect_uniform(data, "data tokens");
  // Independent places: binomial counts of variance 223/16 * 15/16. The mean of 64,000 squares, each of variance below
  // 3 times the variance squared, to five deviations.
  const double variance = 223.0 / 16 * 15 / 16;
  EXPECT_NEAR(squares / (16 * examples), variance, 5 * std::sqrt(3.0 / (16 * examples)) * variance);
}

TEST(SelectiveCopying, MambasPlacesAndDataAreUniform) {
  const auto task = make_task("selective_copying", {{"form", "mamba"}, {"seq_len", 40}, {"num_tokens_to_copy", 5}});
  std::vector<int> places(40), data(14);
  for (std::uint64_t index = 0; index < 4000; ++index) {
    const Example example = make_example(*task, Split::train, index);
    for (std::size_t t = 0; t < 40; ++t) {
      if (example.tokens[t] == 0) continue;
      ++places[t];
      ++data[static_cast<std::size_t>(example.tokens[t] - 1)];
    }
  }
  expect_uniform(places, "places");
  expect_uniform(data, "data tokens");
}

TEST(Compression, LabelsAreTheInputsAndTheHeadIsADecoder) {
  for (const json& options : {json::object(), json{{"vocab_size", 3}, {"seq_len", 2}}}) {
    const auto task = make_task("compression", options);
    EXPECT_EQ(task->head().kind, HeadKind::decoder);
    EXPECT_EQ(task->head().outputs, task->vocab_size());
    for (const Split split : {Split::train, Split::test}) {
      for (std::uint64_t index = 0; index < 100; ++index) {
        const Example example = make_example(*task, split, index);
        ASSERT_EQ(example.labels, example.tokens);
        ASSERT_EQ(example.tokens.back(), task->vocab_size() - 1);
        ASSERT_EQ(std::ranges::count(example.tokens, example.tokens.back()), 1);
      }
    }
  }
  const auto task = make_task("compression", json::object());
  std::vector<int> first(15), last(15);
  for (std::uint64_t index = 0; index < 4000; ++index) {
    const Example example = make_example(*task, Split::train, index);
    ++first[static_cast<std::size_t>(example.tokens[0])];
    ++last[static_cast<std::size_t>(example.tokens[30])];
  }
  expect_uniform(first, "the first token");
  expect_uniform(last, "the last token but one");
}

/// The map that a task's examples tell, expected to be one.
std::map<std::int32_t, std::int32_t> told_map(const Task& task, Split split, std::uint64_t examples) {
  std::map<std::int32_t, std::int32_t> value_of;
  const auto insert_token = static_cast<std::int32_t>(task.vocab_size() - 1);
  for (std::uint64_t index = 0; index < examples; ++index) {
    const Example example = make_example(task, split, index);
    for (std::size_t t = 0; t < example.tokens.size(); t += 2) {
      EXPECT_EQ(example.labels[t], unlabelled);
      EXPECT_EQ(example.tokens[t + 1], insert_token);
      const auto [known, is_new] = value_of.emplace(example.tokens[t], example.labels[t + 1]);
      EXPECT_EQ(known->second, example.labels[t + 1]) << "key " << example.tokens[t];
    }
  }
  return value_of;
}

// Meant to be answered without context: a table of the token before, learned in training, answers all of the test.
TEST(Memorization, TheMapIsTheSameInEverySplit) {
  for (const std::int64_t vocab_size : {5, 256, 257}) {
    const auto task = make_task("memorization", {{"vocab_size", vocab_size}});
    const std::int64_t keys = (vocab_size - 1) / 2;
    const auto learned = told_map(*task, Split::train, 256);
    ASSERT_EQ(std::ssize(learned), keys);
    std::set<std::int32_t> values;
    for (const auto& [key, value] : learned) {
      EXPECT_TRUE(0 <= key && key < keys) << key;
      EXPECT_TRUE(keys <= value && value < vocab_size - 1) << value;
      EXPECT_TRUE(values.insert(value).second) << "value " << value << " of two keys";
    }
    EXPECT_EQ(told_map(*task, Split::validation, 256), learned);
    EXPECT_EQ(told_map(*task, Split::test, 256), learned);
  }
}

TEST(Memorization, TheMapDependsOnItsSeedAlone) {
  const auto map = [](std::int64_t seed, std::int64_t seq_len) {
    return told_map(*make_task("memorization", {{"kv_map_seed", seed}, {"seq_len", seq_len}}), Split::test, 300);
  };
  EXPECT_EQ(map(7, 32), map(7, 64));
  EXPECT_NE(map(7, 32), map(8, 32));
  // A shuffle: over many seeds, key 0 has each of the eight values as often.
  std::vector<int> values(8);
  for (std::int64_t seed = 0; seed < 4000; ++seed) {
    const auto task = make_task("memorization", {{"vocab_size", 17}, {"seq_len", 64}, {"kv_map_seed", seed}});
    ++values[static_cast<std::size_t>(told_map(*task, Split::train, 10).at(0) - 8)];
  }
  expect_uniform(values, "values of key 0");
}

TEST(InductionHeads, TheAnswerFollowedTheFirstTrigger) {
  for (const std::int64_t seq_len : {3, 4, 17, 256}) {
    const auto task = make_task("induction_heads", {{"seq_len", seq_len}});
    const auto groups = task->groups();
    for (const Split split : {Split::train, Split::test}) {
      for (std::uint64_t index = 0; index < 300; ++index) {
        const Example example = make_example(*task, split, index);
        ASSERT_EQ(std::ranges::count(example.tokens, 15), 2);
        ASSERT_EQ(example.tokens.back(), 15);
        ASSERT_EQ(std::ranges::count(example.labels, unlabelled), seq_len - 1);
        const auto first = std::ranges::find(example.tokens, 15) - example.tokens.begin();
        ASSERT_EQ(example.labels.back(), example.tokens[static_cast<std::size_t>(first + 1)]);
        ASSERT_NE(example.labels.back(), 15);
        const std::int64_t distance = seq_len - 1 - first;
        const std::int64_t from = groups.at(static_cast<std::size_t>(example.groups.back())).value;
        ASSERT_TRUE(from <= distance && distance < 2 * from) << distance << " is not from " << from;
      }
    }
  }
}

TEST(InductionHeads, PlacesAndTokensAreUniform) {
  const auto task = make_task("induction_heads", {{"seq_len", 32}});
  std::vector<int> places(30), answers(15);
  for (std::uint64_t index = 0; index < 6000; ++index) {
    const Example example = make_example(*task, Split::train, index);
    ++places[static_cast<std::size_t>(std::ranges::find(example.tokens, 15) - example.tokens.begin())];
    ++answers[static_cast<std::size_t>(example.labels.back())];
  }
  expect_uniform(places, "places of the trigger");
  expect_uniform(answers, "answers");
}

TEST(CopyingTasks, SettingsThatCannotBeMetAreRefused) {
  EXPECT_THAT(
      refusal("selective_copying", {{"seq_len", 32}}),
      HasSubstr("task selective_copying: seq_len 32 is too short for num_tokens_to_copy 16: each takes a position "
                "where it is shown and one where it is asked, and the copy token takes one; raise seq_len to 33 "
                "or lower num_tokens_to_copy to 15"));
  EXPECT_EQ(refusal("selective_copying", {{"seq_len", 33}}), "accepted");
  EXPECT_THAT(refusal("selective_copying", {{"num_tokens_to_copy", 128}}),
              HasSubstr("seq_len 256 is too short for num_tokens_to_copy 128"));
  EXPECT_THAT(refusal("selective_copying", {{"form", "mamba"}, {"seq_len", 15}}),
              HasSubstr("raise seq_len to 16 or lower num_tokens_to_copy to 15"));
  EXPECT_THAT(refusal("selective_copying", {{"form", "mambo"}}), HasSubstr("mamba"));
  EXPECT_THAT(refusal("memorization", {{"seq_len", 31}}),
              HasSubstr("task memorization: seq_len 31 is odd; it must be even, two tokens for each question, for "
                        "example 32"));
  EXPECT_THAT(refusal("compression", {{"seq_len", 1}}), HasSubstr("seq_len"));
  EXPECT_THAT(refusal("induction_heads", {{"seq_len", 2}}), HasSubstr("seq_len"));
}

TEST(CopyingTasks, TellTheirSlices) {
  EXPECT_EQ(make_task("selective_copying", json::object())->slices(),
            (std::vector<Slice>{{"seq_len", 256}, {"vocab_size", 16}, {"num_tokens_to_copy", 16}}));
  EXPECT_EQ(make_task("selective_copying", {{"form", "mamba"}})->slices(),
            (std::vector<Slice>{{"seq_len", 4096}, {"vocab_size", 16}, {"num_tokens_to_copy", 16}}));
  EXPECT_EQ(
      make_task("induction_heads", {{"seq_len", 17}})->groups(),
      (std::vector<Slice>{{"distance_from", 2}, {"distance_from", 4}, {"distance_from", 8}, {"distance_from", 16}}));
}

// Of a long example only the ends are shown, and of a run of equal rows the first.
TEST(CopyingTasks, DescribeLongExamplesByTheirEnds) {
  const auto task = make_task("induction_heads", {{"vocab_size", 101}, {"seq_len", 16 * 70}});
  Example example;
  for (std::int32_t t = 0; t < 16 * 70; ++t) example.tokens.push_back(t / 16);
  example.labels.assign(16 * 70, unlabelled);
  example.tokens[600] = example.tokens.back() = 100;
  example.tokens[601] = example.labels.back() = 42;
  const std::string row = "  9  9  9  9  9  9  9  9  9  9  9  9  9  9  9";
  std::string text = task->describe(example);
  EXPECT_THAT(text, HasSubstr("1120 tokens: ordinary ones are 0 to 99, T is the trigger\n      0  0  0  0"));
  EXPECT_THAT(text, HasSubstr(" 31 31\n    ...\n    608 38 38"));
  EXPECT_THAT(text,
              HasSubstr("\n   1104 69 69 69 69 69 69 69 69 69 69 69 69 69 69 69  T\n"
                        "  label  .  .  .  .  .  .  .  .  .  .  .  .  .  .  . 42\n"
                        "the trigger stands at 600, followed by the answer 42; it comes again 519 positions later\n"));
  std::ranges::fill(example.tokens, 9);
  example.tokens[600] = example.tokens.back() = 100;
  text = task->describe(example);
  EXPECT_THAT(text, HasSubstr("trigger\n      0  9" + row + "\n    ...\n    592  9  9  9"));
  EXPECT_THAT(text, HasSubstr("\n    608  9" + row + "\n    ...\n   1104" + row + "  T\n"));
}

}  // namespace
}  // namespace zoo::test
