// What each of copy_memory, adding, parity, majority, flip_flop, passkey and needle is, recomputed from its definition.

#include <gmock/gmock.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

#include "zoo/core/error.h"
#include "zoo/core/task.h"

namespace zoo {
namespace {

using nlohmann::json;
using testing::Each;
using testing::HasSubstr;

using Tokens = std::vector<std::int32_t>;

Example make_example(const Task& task, std::uint64_t index, Split split = Split::train) {
  Example example;
  task.generate(split, 0, index, example);
  check_example(task, example, index);
  return example;
}

Tokens slice(const Tokens& values, std::int64_t begin, std::int64_t end) {
  return {values.begin() + begin, values.begin() + end};
}

std::string refusal(const std::string& name, const json& options) {
  try {
    make_task(name, options);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(CopyMemory, AsksForTheSymbolsOnTheLastPositions) {
  const auto task = make_task("copy_memory", {{"seq_len", 100}, {"symbols", 7}, {"vocab_size", 6}});
  std::set<std::int32_t> seen;
  for (std::uint64_t index = 0; index < 100; ++index) {
    const Example example = make_example(*task, index);
    const Tokens symbols = slice(example.tokens, 0, 7);
    seen.insert(symbols.begin(), symbols.end());
    EXPECT_THAT(slice(example.tokens, 7, 93), Each(0));
    EXPECT_THAT(slice(example.tokens, 93, 100), Each(5));
    EXPECT_EQ(slice(example.labels, 93, 100), symbols);
    EXPECT_THAT(slice(example.labels, 0, 93), Each(unlabelled));
  }
  EXPECT_THAT(seen, testing::ElementsAre(1, 2, 3, 4));
}

// Symbols, one blank fewer, one marker more, and labels everywhere: data_generator(T) of the public code gives
// T + 20 positions. Who says blank until the end and guesses there loses 10 ln 8 / (T + 20) at a position.
TEST(CopyMemory, TheTcnFormIsThePublicOne) {
  const auto task = make_task("copy_memory", {{"form", "tcn"}});
  const Example example = make_example(*task, 0), plain = make_example(*make_task("copy_memory", {}), 0);
  const Tokens symbols = slice(example.tokens, 0, 10);
  EXPECT_EQ(symbols, slice(plain.tokens, 0, 10));
  EXPECT_THAT(slice(example.tokens, 10, 1009), Each(0));
  EXPECT_THAT(slice(example.tokens, 1009, 1020), Each(9));
  EXPECT_THAT(slice(example.labels, 0, 1010), Each(0));
  EXPECT_EQ(slice(example.labels, 1010, 1020), symbols);
  EXPECT_THAT(slice(example.groups, 0, 1010), Each(0));
  EXPECT_THAT(slice(example.groups, 1010, 1020), Each(1));
}

TEST(Adding, TheTargetIsTheSumOfTheMarkedValues) {
  for (const bool anywhere : {false, true}) {
    const auto task = make_task("adding", {{"seq_len", 31}, {"anywhere", anywhere}});
    std::set<std::pair<std::int64_t, std::int64_t>> places;
    for (std::uint64_t index = 0; index < 10'000; ++index) {
      const Example example = make_example(*task, index);
      std::vector<std::int64_t> marked;
      float sum = 0;
      for (std::int64_t t = 0; t < 31; ++t) {
        const auto at = static_cast<std::size_t>(2 * t);
        ASSERT_TRUE(0 <= example.reals[at] && example.reals[at] < 1);
        if (example.reals[at + 1] == 0) continue;
        ASSERT_EQ(example.reals[at + 1], 1);
        marked.push_back(t);
        sum += example.reals[at];
      }
      ASSERT_EQ(marked.size(), 2u);
      ASSERT_TRUE(anywhere || (marked[0] < 15 && marked[1] >= 15));
      places.emplace(marked[0], marked[1]);
      ASSERT_EQ(example.targets.back(), sum);
      ASSERT_THAT(slice(example.labels, 0, 30), Each(unlabelled));
      ASSERT_EQ(example.labels.back(), 0);
    }
    // Each pair is missed with probability (1 - 1/pairs)^10000, below 1e-9.
    EXPECT_EQ(places.size(), anywhere ? 31u * 30 / 2 : 15u * 16);
  }
}

// The sum has variance 1/6; the square of its deviation from 1 has the variance 1/15 - 1/36 = 7/180 (fourth moment of
// the triangular distribution on [-1,1] minus the square of its second). Five standard errors are allowed.
TEST(Adding, PredictingOneGivesOneSixth) {
  const auto task = make_task("adding", {{"seq_len", 20}});
  constexpr int count = 20'000;
  double sum = 0;
  for (std::uint64_t index = 0; index < count; ++index) {
    const double difference = make_example(*task, index).targets.back() - 1.0;
    sum += difference * difference;
  }
  EXPECT_NEAR(sum / count, 1.0 / 6, 5 * std::sqrt(7.0 / 180 / count));
}

TEST(BitSequences, LabelsAreParityAndMajorityRecounted) {
  for (const std::string name : {"parity", "majority"}) {
    for (const bool cumulative : {false, true}) {
      for (const std::int64_t length : {2, 3, 64, 65, 200}) {
        const auto task = make_task(name, {{"seq_len", length}, {"cumulative", cumulative}});
        for (std::uint64_t index = 0; index < 50; ++index) {
          const Example example = make_example(*task, index);
          ASSERT_EQ(example.tokens.back(), 2);
          for (std::int64_t t = 0; t < length; ++t) {
            const std::int64_t bits = std::min(t + 1, length - 1);
            const auto at = static_cast<std::size_t>(t);
            ASSERT_TRUE(t == length - 1 || example.tokens[at] == 0 || example.tokens[at] == 1);
            if (!cumulative && t < length - 1) {
              ASSERT_EQ(example.labels[at], unlabelled);
              continue;
            }
            const auto ones = std::count(example.tokens.begin(), example.tokens.begin() + bits, 1);
            const bool expected = name == "parity" ? ones % 2 == 1 : ones > bits - ones;
            ASSERT_EQ(example.labels[at], expected ? 1 : 0) << name << " of the first " << bits;
            if (!cumulative) continue;
            const Slice group = task->groups()[static_cast<std::size_t>(example.groups[at])];
            ASSERT_EQ(group.name, "bits");
            ASSERT_TRUE(group.value <= bits && bits < 2 * group.value) << group.value << ", " << bits;
          }
        }
      }
    }
  }
}

// 64,000 fair bits: five standard deviations; and neighbours agree as often as not, across words of 64 bits too.
TEST(BitSequences, BitsAreFairAndIndependent) {
  const auto task = make_task("parity", {{"seq_len", 64'001}});
  const Example example = make_example(*task, 0);
  const auto ones = std::count(example.tokens.begin(), example.tokens.end() - 1, 1);
  EXPECT_NEAR(static_cast<double>(ones), 32'000, 5 * std::sqrt(64'000 / 4.0));
  for (const std::size_t lag : {1, 2, 63, 64, 65, 128}) {
    int equal = 0;
    for (std::size_t t = 0; t + lag < 64'000; ++t) equal += example.tokens[t] == example.tokens[t + lag] ? 1 : 0;
    EXPECT_NEAR(equal, 32'000 - static_cast<double>(lag) / 2, 5 * std::sqrt(64'000 / 4.0)) << lag;
  }
}

TEST(FlipFlop, ReadsAskForTheLastWrite) {
  for (const double p_i : {0.8, 0.98, 0.1, 0.0, 1.0}) {
    const auto task = make_task("flip_flop", {{"seq_len", 128}, {"p_i", p_i}});
    for (std::uint64_t index = 0; index < 200; ++index) {
      const Example example = make_example(*task, index);
      ASSERT_EQ(example.tokens[0], 0) << "the first instruction writes";
      ASSERT_EQ(example.tokens[126], 1) << "the last instruction reads";
      std::int32_t memory = -1;
      std::size_t written_at = 0;
      for (std::size_t t = 0; t < 128; t += 2) {
        const std::int32_t instruction = example.tokens[t], bit = example.tokens[t + 1];
        ASSERT_TRUE(0 <= instruction && instruction <= 2) << instruction;
        ASSERT_TRUE(bit == 3 || bit == 4) << bit;
        ASSERT_EQ(example.labels[t + 1], unlabelled);
        if (instruction == 0) {
          memory = bit;
          written_at = t;
        }
        ASSERT_EQ(example.labels[t], instruction == 1 ? memory : unlabelled);
        if (instruction != 1) continue;
        ASSERT_EQ(bit, memory);
        const Slice group = task->groups()[static_cast<std::size_t>(example.groups[t])];
        const auto distance = static_cast<std::int64_t>(t - written_at);
        ASSERT_TRUE(group.value <= distance && distance < 2 * group.value) << group.value << ", " << distance;
      }
    }
  }
}

// All but the first and last of 256 pairs are drawn: counts within five standard deviations of the binomial.
TEST(FlipFlop, InstructionsHaveTheirProbabilities) {
  for (const double p_i : {0.8, 0.98, 0.1}) {
    const auto task = make_task("flip_flop", {{"p_i", p_i}});
    double instructions[3] = {}, ones = 0, fair = 0;
    constexpr double drawn = 300 * 254.0;
    for (std::uint64_t index = 0; index < 300; ++index) {
      const Example example = make_example(*task, index);
      for (std::size_t t = 2; t < 510; t += 2) {
        ++instructions[example.tokens[t]];
        if (example.tokens[t] == 1) continue;
        ++fair;
        ones += example.tokens[t + 1] == 4 ? 1 : 0;
      }
    }
    const auto expect = [&](double found, double of, double p) {
      EXPECT_NEAR(found, of * p, 5 * std::sqrt(of * p * (1 - p))) << p;
    };
    expect(instructions[0], drawn, (1 - p_i) / 2);
    expect(instructions[1], drawn, (1 - p_i) / 2);
    expect(instructions[2], drawn, p_i);
    expect(ones, fair, 0.5);
  }
}

// The fact's digits, after its mark and at the question, and where the fact begins.
std::int64_t expect_fact(const Example& example, std::int64_t digits) {
  const auto length = std::ssize(example.tokens);
  const auto fact = std::ranges::find(example.tokens, 10) - example.tokens.begin();
  EXPECT_EQ(std::ranges::count(example.tokens, 10), 1);
  EXPECT_EQ(std::ranges::count(example.tokens, 11), 1);
  const Tokens answer = slice(example.tokens, fact + 1, fact + 1 + digits);
  EXPECT_THAT(answer, Each(testing::AllOf(testing::Ge(0), testing::Lt(10))));
  EXPECT_EQ(example.tokens[static_cast<std::size_t>(length - digits)], 11);
  EXPECT_EQ(slice(example.tokens, length - digits + 1, length), slice(answer, 0, digits - 1));
  EXPECT_EQ(slice(example.labels, length - digits, length), answer);
  EXPECT_EQ(std::ranges::count_if(example.labels, [](auto label) { return label != unlabelled; }), digits);
  EXPECT_EQ(std::ranges::count_if(example.tokens, [](auto token) { return token < 10; }), 2 * digits - 1)
      << "no digit in the filler";
  return fact;
}

TEST(Passkey, TheFactStandsAtAnyDepth) {
  for (const std::string filler : {"random", "repeated"}) {
    const auto task = make_task("passkey", {{"seq_len", 40}, {"digits", 3}, {"filler", filler}, {"vocab_size", 20}});
    std::vector<int> at(34);
    for (std::uint64_t index = 0; index < 3400; ++index) {
      const Example example = make_example(*task, index);
      const std::int64_t place = expect_fact(example, 3);
      ++at.at(static_cast<std::size_t>(place));
      const Slice group = task->groups()[static_cast<std::size_t>(example.groups.back())];
      ASSERT_EQ(group, (Slice{"depth", 100 * place / 34 / 10 * 10}));
      if (filler == "random") continue;
      for (std::int64_t t = 0; t < 37; ++t) {
        const std::int32_t token = example.tokens[static_cast<std::size_t>(t)];
        ASSERT_TRUE(token <= 10 || token == 12 + t % 8);
      }
    }
    // Each of the 34 places has 100 expected, standard deviation 10.
    EXPECT_THAT(at, Each(testing::AllOf(testing::Gt(50), testing::Lt(150))));
  }
  EXPECT_EQ(expect_fact(make_example(*make_task("passkey", {{"seq_len", 11}}), 0), 5), 0) << "the shortest there is";
}

TEST(Needle, TheFactStandsAtItsDepth) {
  for (const auto& [depth, place] : std::map<int, int>{{0, 0}, {100, 89}, {50, 44}, {37, 32}}) {
    const auto task = make_task("needle", {{"seq_len", 100}, {"depth", depth}});
    EXPECT_EQ(task->slices(), (std::vector<Slice>{{"seq_len", 100}, {"depth", depth}}));
    for (std::uint64_t index = 0; index < 100; ++index) EXPECT_EQ(expect_fact(make_example(*task, index), 5), place);
  }
}

// A million tokens, at the dearest settings; and the memory of an example is what it takes.
TEST(LongRangeTasks, MakeAMillionTokens) {
  constexpr std::int64_t length = 1 << 20;
  for (const std::string name :
       {"copy_memory", "adding", "parity", "majority", "flip_flop", "s5", "passkey", "needle"}) {
    const auto task = make_task(name, {{"seq_len", length}});
    EXPECT_EQ(task->seq_len(), length);
    const Example example = make_example(*task, 0, Split::test);
    EXPECT_LT(task->describe(example).size(), 10'000u) << name;
  }
}

TEST(LongRangeTasks, SettingsThatCannotBeMetSayWhatToChange) {
  EXPECT_THAT(
      refusal("copy_memory", {{"seq_len", 19}}),
      HasSubstr("seq_len 19 is too short for 10 symbols, which are shown and said again; raise seq_len to 20 or "
                "lower symbols to 9"));
  EXPECT_EQ(refusal("copy_memory", {{"seq_len", 20}}), "accepted");
  EXPECT_THAT(refusal("copy_memory", {{"seq_len", 20}, {"form", "tcn"}}),
              HasSubstr("raise seq_len to 21 or lower symbols to 9"));
  EXPECT_EQ(refusal("copy_memory", {{"seq_len", 20}, {"form", "tcn"}, {"symbols", 9}}), "accepted");
  EXPECT_THAT(refusal("copy_memory", {{"form", "tnc"}}), HasSubstr("tcn"));
  EXPECT_THAT(refusal("flip_flop", {{"seq_len", 511}}), HasSubstr("511 is odd; it must be even, for example 512"));
  EXPECT_THAT(refusal("flip_flop", {{"p_i", 1.5}}), HasSubstr("p_i"));
  EXPECT_THAT(refusal("passkey", {{"seq_len", 10}}),
              HasSubstr("task passkey: seq_len 10 is too short for 5 digits: the fact takes digits + 1 = 6 tokens and "
                        "the question 5; raise seq_len to 11 or lower digits to 4"));
  EXPECT_EQ(refusal("passkey", {{"seq_len", 10}, {"digits", 4}}), "accepted");
  EXPECT_THAT(refusal("needle", {{"depth", 101}}), HasSubstr("depth"));
  EXPECT_THAT(refusal("s5", {{"group", "A6"}}), HasSubstr("A5"));
  for (const std::string name : {"parity", "majority", "adding"}) {
    EXPECT_THAT(refusal(name, {{"seq_len", 1}}), HasSubstr("seq_len"));
  }
}

}  // namespace
}  // namespace zoo
