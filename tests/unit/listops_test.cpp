// listops against an evaluator written from the definition, and its lengths against their exact distribution.

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "zoo/core/error.h"
#include "zoo/core/task.h"

namespace zoo {
namespace {

using nlohmann::json;
using testing::Each;
using testing::HasSubstr;

constexpr std::int32_t opening_min = 11, opening_max = 12, opening_median = 13, opening_sum = 14, closing = 15;

Example make_example(const Task& task, std::uint64_t index) {
  Example example;
  task.generate(Split::train, 0, index, example);
  check_example(task, example, index);
  return example;
}

std::int64_t length_of(const Example& example) {
  return std::ranges::find(example.tokens, 0) - example.tokens.begin();
}

int median(std::vector<int> values) {
  const auto nth = [&](std::size_t n) {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(n), values.end());
    return values[n];
  };
  const int upper = nth(values.size() / 2), lower = nth((values.size() - 1) / 2);
  return static_cast<int>(std::trunc((lower + upper) / 2.0));
}

// A stack machine over the tokens; `deepest` and `arguments` tell of the tree.
int evaluate(std::span<const std::int32_t> tokens, std::size_t& deepest, std::map<std::size_t, int>& arguments) {
  struct Open {
    std::int32_t operation;
    std::vector<int> values;
  };
  std::vector<Open> stack = {{0, {}}};
  deepest = 0;
  for (const std::int32_t token : tokens) {
    deepest = std::max(deepest, stack.size() - (token == closing ? 1 : 0));
    if (1 <= token && token <= 10) {
      stack.back().values.push_back(token - 1);
    } else if (token != closing) {
      stack.push_back({token, {}});
    } else {
      const Open done = stack.back();
      stack.pop_back();
      ++arguments[done.values.size()];
      const auto& values = done.values;
      stack.at(stack.size() - 1)
          .values.push_back(done.operation == opening_min      ? *std::min_element(values.begin(), values.end())
                            : done.operation == opening_max    ? *std::max_element(values.begin(), values.end())
                            : done.operation == opening_median ? median(values)
                                                               : std::accumulate(values.begin(), values.end(), 0) % 10);
    }
  }
  EXPECT_EQ(stack.size(), 1u) << "brackets match";
  EXPECT_EQ(stack[0].values.size(), 1u) << "one tree";
  return stack[0].values.at(0);
}

struct Settings {
  std::int64_t max_depth, max_args, min_length, max_length;

  json options() const {
    return {{"max_depth", max_depth}, {"max_args", max_args}, {"min_length", min_length}, {"max_length", max_length}};
  }
};

TEST(ListOps, TheLabelIsTheValueOfTheTree) {
  for (const Settings& settings :
       {Settings{10, 10, 500, 2000}, {10, 10, 0, 50}, {3, 4, 5, 20}, {2, 2, 0, 5}, {4, 64, 100, 300}}) {
    SCOPED_TRACE(settings.options().dump());
    const auto task = make_task("listops", settings.options());
    EXPECT_EQ(task->seq_len(), settings.max_length);
    for (std::uint64_t index = 0; index < 300; ++index) {
      const Example example = make_example(*task, index);
      const auto length = static_cast<std::size_t>(length_of(example));
      ASSERT_GT(length, static_cast<std::size_t>(settings.min_length));
      ASSERT_LT(length, static_cast<std::size_t>(settings.max_length));
      ASSERT_THAT(std::span(example.tokens).subspan(length), Each(0));
      std::size_t deepest = 0;
      std::map<std::size_t, int> arguments;
      const int value = evaluate(std::span(example.tokens).first(length), deepest, arguments);
      ASSERT_LE(deepest, static_cast<std::size_t>(settings.max_depth));
      for (const auto& [count, times] : arguments) {
        ASSERT_GE(count, 2u);
        ASSERT_LE(count, static_cast<std::size_t>(settings.max_args));
      }
      ASSERT_EQ(example.labels[length - 1], value);
      ASSERT_EQ(std::ranges::count_if(example.labels, [](auto label) { return label != unlabelled; }), 1);
    }
  }
}

TEST(ListOps, EvaluatesEachOperator) {
  // The evaluator above, on what can be checked by eye: 7 + 8 + 9 = 24, the median of 1 2 8 9 is 5, of 2 3 is 2.5.
  std::size_t deepest = 0;
  std::map<std::size_t, int> arguments;
  const auto value = [&](std::vector<std::int32_t> tokens) { return evaluate(tokens, deepest, arguments); };
  EXPECT_EQ(value({opening_sum, 8, 9, 10, closing}), 4);
  EXPECT_EQ(value({opening_median, 10, 2, 3, 9, closing}), 5);
  EXPECT_EQ(value({opening_median, 4, 3, closing}), 2);
  EXPECT_EQ(value({opening_median, 10, 1, 3, closing}), 2);
  EXPECT_EQ(value({opening_max, 1, opening_min, 10, 4, closing, closing}), 3);
  EXPECT_EQ(deepest, 3u);
}

// P(length = n) of a tree whose root is at the depth, for n < 2000, from the definition: 1 with probability 3/4 (always
// at depth 10); else 2 and the lengths of 2 to 10 arguments, each number as likely.
std::vector<double> length_distribution() {
  constexpr std::size_t size = 2000;
  std::vector<double> child(size, 0);
  child[1] = 1;
  for (int depth = 9; depth >= 1; --depth) {
    std::vector<double> node(size, 0), sum = child;
    node[1] = 0.75;
    for (int arguments = 2; arguments <= 10; ++arguments) {
      std::vector<double> longer(size, 0);
      for (std::size_t i = 1; i < size; ++i) {
        if (sum[i] == 0) continue;
        for (std::size_t j = 1; i + j < size; ++j) longer[i + j] += sum[i] * child[j];
      }
      sum = std::move(longer);
      for (std::size_t n = 2; n < size; ++n) node[n] += 0.25 / 9 * sum[n - 2];
    }
    child = std::move(node);
  }
  return child;
}

TEST(ListOps, LengthsHaveTheDistributionOfTheDefinition) {
  const std::vector<double> probability = length_distribution();
  constexpr std::size_t bins = 15;
  std::vector<double> expected(bins, 0), found(bins, 0);
  const auto bin = [](std::size_t length) { return (length - 500) / 100; };
  double accepted = 0, mean = 0, square = 0;
  for (std::size_t n = 501; n < 2000; ++n) {
    accepted += probability[n];
    mean += static_cast<double>(n) * probability[n];
    square += static_cast<double>(n * n) * probability[n];
    expected[bin(n)] += probability[n];
  }
  mean /= accepted;
  EXPECT_NEAR(accepted, 0.08, 0.005) << "the published share of trees that are long enough, 8%";
  EXPECT_NEAR(mean, 1040, 20) << "the published mean length, about 1,040";

  constexpr int count = 4000;
  const auto task = make_task("listops", {});
  double sum = 0;
  for (std::uint64_t index = 0; index < count; ++index) {
    const std::int64_t length = length_of(make_example(*task, index));
    sum += static_cast<double>(length);
    ++found[bin(static_cast<std::size_t>(length))];
  }
  EXPECT_NEAR(sum / count, mean, 5 * std::sqrt((square / accepted - mean * mean) / count));
  double chi_square = 0;
  for (std::size_t b = 0; b < bins; ++b) {
    const double of = expected[b] / accepted * count;
    chi_square += (found[b] - of) * (found[b] - of) / of;
  }
  EXPECT_LT(chi_square, 14 + 8 * std::sqrt(2 * 14.0)) << "exceeded with probability below 1e-5";
}

TEST(ListOps, OperatorsAndDigitsAreUniform) {
  const auto task = make_task("listops", {});
  std::vector<double> counts(16, 0);
  for (std::uint64_t index = 0; index < 200; ++index) {
    for (const std::int32_t token : make_example(*task, index).tokens) ++counts[static_cast<std::size_t>(token)];
  }
  const auto expect_uniform = [&](std::size_t begin, std::size_t end) {
    const double total = std::accumulate(counts.begin() + static_cast<std::ptrdiff_t>(begin),
                                         counts.begin() + static_cast<std::ptrdiff_t>(end), 0.0);
    const double mean = total / static_cast<double>(end - begin);
    for (std::size_t token = begin; token < end; ++token)
      EXPECT_NEAR(counts[token], mean, 5 * std::sqrt(mean)) << token;
  };
  expect_uniform(1, 11);
  expect_uniform(11, 15);
  EXPECT_EQ(counts[15], counts[11] + counts[12] + counts[13] + counts[14]);
}

TEST(ListOps, SettingsThatCannotBeMetSayWhatToChange) {
  const auto refusal = [](const json& options) -> std::string {
    try {
      make_task("listops", options);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal({{"min_length", 1999}}),
              HasSubstr("no length is greater than min_length 1999 and less than max_length 2000"));
  EXPECT_THAT(
      refusal({{"max_depth", 2}}),
      HasSubstr("none of 10000 random trees of max_depth 2 and max_args 10 has more than 500 and less than 2000 "
                "tokens; widen min_length and max_length, or raise max_depth or max_args"));
  EXPECT_EQ(refusal({{"max_depth", 2}, {"min_length", 11}, {"max_length", 13}}), "accepted");
  EXPECT_EQ(refusal({{"min_length", 0}, {"max_length", 2}}), "accepted");
}

}  // namespace
}  // namespace zoo
