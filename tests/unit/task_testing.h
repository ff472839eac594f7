#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/core/task.h"

namespace zoo::test {

inline Example make_example(const Task& task, Split split, std::uint64_t index) {
  Example example;
  task.generate(split, 0, index, example);
  return example;
}

/// What a task says to settings that it refuses.
inline std::string refusal(std::string_view task, const nlohmann::json& options) {
  try {
    make_task(task, options);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

/// Expects that counts of independent draws are of equally probable outcomes. For 5 outcomes and more, the mean of
/// chi-square and eight standard deviations are exceeded with probability below 1e-5; for fewer, below 1e-3 (seeds are
/// fixed, so that a test either always fails or never).
inline void expect_uniform(const std::vector<int>& counts, std::string_view what) {
  double total = 0;
  for (const int count : counts) total += count;
  const double mean = total / static_cast<double>(counts.size());
  double sum = 0;
  for (const int count : counts) sum += (count - mean) * (count - mean) / mean;
  const auto degrees = static_cast<double>(counts.size() - 1);
  EXPECT_LT(sum, degrees + 8 * std::sqrt(2 * degrees)) << what;
}

/// Expects `found` successes of `draws` independent ones of probability `share`, to five standard deviations.
inline void expect_share(double found, double draws, double share, std::string_view what) {
  EXPECT_NEAR(found, draws * share, 5 * std::sqrt(draws * share * (1 - share))) << what;
}

}  // namespace zoo::test
