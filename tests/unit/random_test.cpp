#include "zoo/core/random.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <vector>

namespace zoo {
namespace {

using testing::ElementsAre;

// Known answers of philox4x32-10 in Random123's kat_vectors (Salmon et al. 2011).
TEST(Philox, KnownAnswers) {
  EXPECT_THAT(philox({0, 0, 0, 0}, {0, 0}), ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  EXPECT_THAT(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
              ElementsAre(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  EXPECT_THAT(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
              ElementsAre(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
}

TEST(RandomStream, IsThePhiloxBlocksInOrder) {
  const RandomKey key{0x0123456789abcdef};
  RandomStream stream(key);
  for (std::uint32_t block = 0; block < 3; ++block) {
    for (const std::uint32_t word : philox({block, 0, 0, 0}, {0x89abcdef, 0x01234567})) {
      EXPECT_EQ(stream.next_u32(), word);
    }
  }
}

TEST(RandomKey, SeedPurposeAndIndexEachChangeTheKey) {
  std::set<std::uint64_t> keys;
  int count = 0;
  for (const std::uint64_t seed : {0, 1, 2}) {
    for (const char* purpose : {"", "a", "b", "ab", "ba", "mqar/train", "mqar/test"}) {
      const RandomKey key = RandomKey::of(seed, purpose);
      keys.insert(key.value);
      ++count;
      for (std::uint64_t index = 0; index < 1000; ++index, ++count) keys.insert(key.fold(index).value);
    }
  }
  EXPECT_EQ(keys.size(), static_cast<std::size_t>(count));
  EXPECT_EQ(RandomKey::of(7, "dropout").value, RandomKey::of(7, "dropout").value);
}

double chi_square(const std::vector<std::int64_t>& counts, double expected) {
  double sum = 0;
  for (const std::int64_t count : counts) {
    const double difference = static_cast<double>(count) - expected;
    sum += difference * difference / expected;
  }
  return sum;
}

// A chi-square value with n degrees of freedom has mean n and standard deviation sqrt(2n): a true distribution is
// within six deviations but for one stream in a billion or so (less for small n, whose tail is heavier), and the
// streams here are fixed.
double chi_square_limit(double degrees) {
  return degrees + 6 * std::sqrt(2 * degrees);
}

TEST(RandomStream, BelowIsUniform) {
  // 3 * 2^30 and 3 * 2^62 are where a draw without rejection would be most biased: every third value, or the lowest
  // third, would be twice as likely.
  const std::uint64_t bounds[] = {1, 2, 3, 10, 100, 1000, std::uint64_t{3} << 30, std::uint64_t{3} << 62};
  for (const std::uint64_t bound : bounds) {
    const std::uint64_t bins = std::min<std::uint64_t>(bound, 1000);
    std::vector<std::int64_t> by_size(bins, 0), by_remainder(std::min<std::uint64_t>(bound, 3), 0);
    RandomStream stream(RandomKey::of(1, "below").fold(bound));
    const int draws = 200'000;
    for (int i = 0; i < draws; ++i) {
      const std::uint64_t value = stream.below(bound);
      ASSERT_LT(value, bound);
      ++by_size[value / (bound / bins + (bound % bins != 0))];
      if (bound % 3 == 0) ++by_remainder[value % 3];
    }
    const auto count = static_cast<double>(bins);
    EXPECT_LT(chi_square(by_size, draws / count), chi_square_limit(count)) << bound;
    if (bound % 3 == 0) {
      EXPECT_LT(chi_square(by_remainder, draws / 3.0), chi_square_limit(3)) << bound;
    }
  }
}

TEST(RandomStream, UniformFillsTheUnitInterval) {
  RandomStream stream(RandomKey::of(2, "uniform"));
  std::vector<std::int64_t> counts(1000, 0);
  const int draws = 200'000;
  for (int i = 0; i < draws; ++i) {
    const double value = stream.uniform();
    ASSERT_GE(value, 0);
    ASSERT_LT(value, 1);
    ++counts[static_cast<std::size_t>(value * 1000)];
  }
  EXPECT_LT(chi_square(counts, draws / 1000.0), chi_square_limit(1000));
}

TEST(RandomStream, NormalHasTheMomentsOfANormal) {
  RandomStream stream(RandomKey::of(3, "normal"));
  const int draws = 400'000;
  double moments[5] = {};
  double neighbours = 0, last = 0;
  std::int64_t beyond_two = 0;
  for (int i = 0; i < draws; ++i) {
    const double value = stream.normal();
    double power = 1;
    for (double& moment : moments) {
      moment += power / draws;
      power *= value;
    }
    neighbours += value * last / draws;
    last = value;
    beyond_two += std::abs(value) > 2;
  }
  // Standard errors: the moment z^k has variance E z^2k - (E z^k)^2 = 1, 2, 15, 96; five of them are allowed.
  const double error = 5 / std::sqrt(draws);
  EXPECT_NEAR(moments[1], 0, error);
  EXPECT_NEAR(moments[2], 1, error * std::sqrt(2));
  EXPECT_NEAR(moments[3], 0, error * std::sqrt(15));
  EXPECT_NEAR(moments[4], 3, error * std::sqrt(96));
  EXPECT_NEAR(neighbours, 0, error);
  const double tail = std::erfc(std::sqrt(2.0));
  EXPECT_NEAR(static_cast<double>(beyond_two) / draws, tail, error * std::sqrt(tail * (1 - tail)));
}

}  // namespace
}  // namespace zoo
