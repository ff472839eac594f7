// The groups behind s5 are groups, and its labels are products of permutations composed one by one.

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tasks/common/finite_group.h"
#include "zoo/core/task.h"

namespace zoo {
namespace {

TEST(FiniteGroup, TablesFormGroups) {
  for (const auto& [name, order] : {std::pair{"S5", 120}, {"A5", 60}, {"Z60", 60}}) {
    const FiniteGroup group(name);
    ASSERT_EQ(group.order(), order);
    std::set<std::string> elements;
    for (std::int32_t a = 0; a < order; ++a) {
      elements.insert(group.element(a));
      EXPECT_EQ(group.product(0, a), a);
      EXPECT_EQ(group.product(a, 0), a);
      std::set<std::int32_t> row;
      for (std::int32_t b = 0; b < order; ++b) {
        row.insert(group.product(a, b));
        for (std::int32_t c = 0; c < order; ++c) {
          ASSERT_EQ(group.product(group.product(a, b), c), group.product(a, group.product(b, c)));
        }
      }
      // A row that holds every element holds the identity: each element has an inverse.
      EXPECT_EQ(row.size(), static_cast<std::size_t>(order));
      EXPECT_EQ(*row.begin(), 0);
      EXPECT_EQ(*row.rbegin(), order - 1);
    }
    EXPECT_EQ(elements.size(), static_cast<std::size_t>(order));
  }
}

// Applies permutations, given as images of 1 to 5, to a point: the last one first.
char image(const std::vector<std::string>& permutations, char point) {
  for (auto p = permutations.rbegin(); p != permutations.rend(); ++p)
    point = (*p)[static_cast<std::size_t>(point - '1')];
  return point;
}

TEST(S5, LabelsAreTheProductsSoFar) {
  for (const std::string name : {"S5", "A5"}) {
    const FiniteGroup group(name);
    const auto task = make_task("s5", {{"seq_len", 40}, {"group", name}});
    EXPECT_EQ(task->vocab_size(), group.order());
    Example example;
    for (std::uint64_t index = 0; index < 20; ++index) {
      task->generate(Split::test, 0, index, example);
      std::vector<std::string> elements;
      for (std::size_t t = 0; t < 40; ++t) {
        elements.push_back(group.element(example.tokens[t]));
        const std::string& product = group.element(example.labels[t]);
        for (const char point : {'1', '2', '3', '4', '5'}) {
          ASSERT_EQ(product[static_cast<std::size_t>(point - '1')], image(elements, point));
        }
        const std::int64_t least = task->groups()[static_cast<std::size_t>(example.groups[t])].value;
        ASSERT_TRUE(least <= std::ssize(elements) && std::ssize(elements) < 2 * least);
      }
    }
  }
}

TEST(S5, ElementsAreNumberedLexicographically) {
  std::string permutation = "12345";
  std::vector<std::string> all, even;
  do {
    all.push_back(permutation);
    // A permutation is even when an even number of exchanges sorts it.
    std::string sorting = permutation;
    int exchanges = 0;
    for (std::size_t i = 0; i < 5; ++i) {
      while (sorting[i] != static_cast<char>('1' + i)) {
        std::swap(sorting[i], sorting[static_cast<std::size_t>(sorting[i] - '1')]);
        ++exchanges;
      }
    }
    if (exchanges % 2 == 0) even.push_back(permutation);
  } while (std::next_permutation(permutation.begin(), permutation.end()));
  const FiniteGroup symmetric("S5"), alternating("A5");
  for (std::int32_t i = 0; i < 120; ++i) EXPECT_EQ(symmetric.element(i), all[static_cast<std::size_t>(i)]);
  ASSERT_EQ(even.size(), 60u);
  for (std::int32_t i = 0; i < 60; ++i) EXPECT_EQ(alternating.element(i), even[static_cast<std::size_t>(i)]);
}

TEST(S5, Z60AddsModulo60) {
  const auto task = make_task("s5", {{"seq_len", 300}, {"group", "Z60"}});
  Example example;
  task->generate(Split::train, 3, 5, example);
  std::int32_t sum = 0;
  for (std::size_t t = 0; t < 300; ++t) {
    sum = (sum + example.tokens[t]) % 60;
    ASSERT_EQ(example.labels[t], sum);
  }
}

}  // namespace
}  // namespace zoo
