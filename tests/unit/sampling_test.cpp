#include "zoo/lm/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "zoo/core/error.h"

namespace zoo::test {
namespace {

const std::vector<float> logits = {0.5F, 2.0F, -1.0F, 1.0F, 2.0F};

std::map<std::int32_t, int> draw(const SamplingOptions& options, int times,
                                 const std::vector<std::int32_t>& seen = {}) {
  std::map<std::int32_t, int> counts;
  RandomStream random(RandomKey::of(7, "test"));
  for (int i = 0; i < times; ++i) ++counts[sample(logits, seen, options, random)];
  return counts;
}

TEST(Sampling, AtTemperatureZeroTakesTheFirstOfTheLargest) {
  EXPECT_EQ(draw({.temperature = 0}, 20), (std::map<std::int32_t, int>{{1, 20}}));
}

TEST(Sampling, FollowsTheSoftmax) {
  constexpr int times = 20000;
  for (const double temperature : {0.5, 1.0, 2.0}) {
    const auto counts = draw({.temperature = temperature}, times);
    double total = 0;
    for (const float logit : logits) total += std::exp(logit / temperature);
    for (std::size_t token = 0; token < logits.size(); ++token) {
      const double p = std::exp(logits[token] / temperature) / total;
      const auto found = counts.find(static_cast<std::int32_t>(token));
      const double share = found == counts.end() ? 0 : found->second / double{times};
      // Five standard deviations of a share of independent draws.
      EXPECT_NEAR(share, p, 5 * std::sqrt(p * (1 - p) / times)) << token << " at " << temperature;
    }
  }
}

TEST(Sampling, KeepsTheKLikeliest) {
  const auto counts = draw({.top_k = 3}, 2000);
  EXPECT_EQ(counts.size(), 3U);
  for (const std::int32_t token : {1, 3, 4}) EXPECT_TRUE(counts.contains(token));
  // Of equal logits the first stays.
  EXPECT_EQ(draw({.top_k = 1}, 50), (std::map<std::int32_t, int>{{1, 50}}));
  EXPECT_EQ(draw({.top_k = 100}, 2000).size(), 5U);
}

TEST(Sampling, KeepsTheNucleus) {
  // The probabilities of 1 and 4 are 0.373 each, of 3 0.137, of 0 0.083, of 2 0.019.
  EXPECT_EQ(draw({.top_p = 0.3}, 200).size(), 1U);
  EXPECT_EQ(draw({.top_p = 0.7}, 2000).size(), 2U);
  EXPECT_EQ(draw({.top_p = 0.8}, 2000).size(), 3U);
  EXPECT_EQ(draw({.top_p = 1e-9}, 50).size(), 1U);
}

TEST(Sampling, PenalisesWhatWasSeen) {
  // 2.0 / 4 = 0.5 for token 1, so that 4 is the largest; a logit below zero grows more so.
  EXPECT_EQ(draw({.temperature = 0, .repetition_penalty = 4}, 1, {1}), (std::map<std::int32_t, int>{{4, 1}}));
  EXPECT_EQ(draw({.temperature = 0, .repetition_penalty = 4}, 1, {1, 4, 1}), (std::map<std::int32_t, int>{{3, 1}}));
}

TEST(Sampling, RefusesWhatIsNoDistribution) {
  RandomStream random(RandomKey::of(0, "test"));
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
  for (const std::vector<float>& broken : {std::vector{nan, 0.0F}, {0.0F, nan}, {0.0F, infinite}, {-infinite}}) {
    EXPECT_THROW(sample(broken, {}, {}, random), Error);
  }
  for (const SamplingOptions& options :
       {SamplingOptions{.temperature = -1}, SamplingOptions{.top_k = -1}, SamplingOptions{.top_p = 0},
        SamplingOptions{.top_p = 1.5}, SamplingOptions{.repetition_penalty = 0},
        SamplingOptions{.temperature = std::nan("")}}) {
    EXPECT_THROW(check_sampling(options), UsageError);
  }
}

TEST(Sampling, IgnoresTokensThatCannotBe) {
  const float never = -std::numeric_limits<float>::infinity();
  const std::vector<float> values = {never, 0.0F, never};
  RandomStream random(RandomKey::of(0, "test"));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(sample(values, {}, {.temperature = 1}, random), 1);
}

}  // namespace
}  // namespace zoo::test
