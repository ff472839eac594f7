#include "zoo/cpu/gemv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "zoo/core/parallel.h"
#include "zoo/core/random.h"

namespace zoo::test {
namespace {

std::vector<float> normals(std::int64_t count, std::uint64_t seed) {
  RandomStream random(RandomKey::of(seed, "gemv"));
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(random.normal());
  return values;
}

TEST(Gemv, IsTheProductWhateverTheSizes) {
  for (const std::int64_t n : {1, 3, 4, 37}) {
    for (const std::int64_t k : {1, 15, 16, 64, 67, 200, 1029}) {
      const std::vector<float> w = normals(n * k, 1), x = normals(k, 2), bias = normals(n, 3);
      for (const bool biased : {false, true}) {
        std::vector<float> y(static_cast<std::size_t>(n));
        cpu::gemv(w.data(), x.data(), biased ? bias.data() : nullptr, n, k, y.data());
        for (std::int64_t row = 0; row < n; ++row) {
          double expected = biased ? bias[static_cast<std::size_t>(row)] : 0, size = std::abs(expected);
          for (std::int64_t i = 0; i < k; ++i) {
            const double term = double{w[static_cast<std::size_t>(row * k + i)]} * x[static_cast<std::size_t>(i)];
            expected += term;
            size += std::abs(term);
          }
          // A sum of k terms in float32, in chains: at most k + 1 roundings of 2^-24 of the sum of sizes.
          EXPECT_NEAR(y[static_cast<std::size_t>(row)], expected, static_cast<double>(k + 1) * 0x1p-24 * size);
        }
      }
    }
  }
}

TEST(Gemv, HasTheSameBitsWithAnyNumberOfThreads) {
  constexpr std::int64_t n = 1001, k = 700;
  const std::vector<float> w = normals(n * k, 1), x = normals(k, 2);
  const int before = threads();
  std::vector<std::vector<float>> results;
  for (const int count : {1, 2, 3}) {
    set_threads(count);
    results.emplace_back(n);
    cpu::gemv(w.data(), x.data(), nullptr, n, k, results.back().data());
  }
  set_threads(before);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

}  // namespace
}  // namespace zoo::test
