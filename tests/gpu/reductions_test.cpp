#include "zoo/gpu/reductions.h"

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

std::size_t at(const cpu::AxisExtents& extents, std::int64_t outer, std::int64_t k, std::int64_t inner) {
  return static_cast<std::size_t>((outer * extents.count + k) * extents.inner + inner);
}

std::vector<float> sum_of(const cpu::AxisExtents& extents, const std::vector<float>& x) {
  Stream stream;
  const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
  DeviceBuffer<float> y(static_cast<std::size_t>(extents.outer * extents.inner));
  DeviceBuffer<float> scratch(static_cast<std::size_t>(sum_scratch(extents)));
  sum(extents, device_x.data(), y.data(), scratch.data(), stream);
  return to_host(y, stream);
}

const cpu::AxisExtents sizes[] = {{3, 5, 7}, {2, 300, 5}, {9, 70, 1}, {1, 9001, 1}, {1, 40000, 2}, {4, 1, 3}};

// A lane adds up at most 64 numbers and 5 times with others, a thread 128, each pass the same again: roundings of 2^-24
// that go as the root of their number, below 3e-7 of all terms together; sums are their root large.
TEST(Reductions, SumsOfAnyLength) {
  for (const cpu::AxisExtents& extents : sizes) {
    const std::vector<float> x = normal_numbers(extents.outer * extents.count * extents.inner, 1);
    std::vector<double> expected(static_cast<std::size_t>(extents.outer * extents.inner));
    for (std::int64_t o = 0; o < extents.outer; ++o) {
      for (std::int64_t k = 0; k < extents.count; ++k) {
        for (std::int64_t i = 0; i < extents.inner; ++i)
          expected[static_cast<std::size_t>(o * extents.inner + i)] += x[at(extents, o, k, i)];
      }
    }
    // Of a few sums some may be near 0 by chance: errors are compared with what the terms are worth.
    const std::vector<float> y = sum_of(extents, x);
    double error = 0;
    for (std::size_t i = 0; i < y.size(); ++i) error = std::max(error, std::abs(y[i] - expected[i]));
    EXPECT_LT(error, 2e-6 * std::sqrt(static_cast<double>(extents.count))) << extents.count;
    set_schedule_seed(7);
    EXPECT_EQ(sum_of(extents, x), y);
  }
}

TEST(Reductions, SumsOfNothingAreZero) {
  EXPECT_THAT(sum_of({2, 0, 3}, {}), testing::Each(0.0F));
  EXPECT_TRUE(sum_of({0, 4, 3}, {}).empty());
}

TEST(Reductions, LargestWithItsPlace) {
  Stream stream;
  const cpu::AxisExtents extents = {2, 3, 2};
  const float nan = std::nanf("");
  const std::vector<float> x = {1, 5, 4, 5, 4, 2, /*second block*/ 7, 0, nan, -1, nan, -2};
  const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
  DeviceBuffer<float> largest(4), mask(12);
  max(extents, device_x.data(), largest.data(), stream);
  first_max_mask(extents, device_x.data(), largest.data(), mask.data(), stream);
  const std::vector<float> y = to_host(largest, stream);
  EXPECT_THAT((std::vector<float>{y[0], y[1], y[3]}), testing::ElementsAre(4, 5, 0));
  EXPECT_TRUE(std::isnan(y[2]));
  EXPECT_THAT(to_host(mask, stream), testing::ElementsAre(0, 1, 1, 0, 0, 0, /*second block*/ 0, 1, 1, 0, 0, 0));
}

TEST(Reductions, FirstOfTheLargest) {
  Stream stream;
  const std::vector<float> x = {1, 3, 3, 9, std::nanf(""), std::nanf(""), -1, -1, -1};
  const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
  DeviceBuffer<std::int32_t> y(3);
  argmax({3, 3, 1}, device_x.data(), y.data(), stream);
  EXPECT_THAT(to_host(y, stream), testing::ElementsAre(1, 1, 0));
}

TEST(Reductions, SumsUpToEachFromEitherEnd) {
  Stream stream;
  const std::vector<float> x = {1, 10, 2, 20, 3, 30};
  const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
  DeviceBuffer<float> y(6);
  cumsum({1, 3, 2}, device_x.data(), false, y.data(), stream);
  EXPECT_THAT(to_host(y, stream), testing::ElementsAre(1, 10, 3, 30, 6, 60));
  cumsum({1, 3, 2}, device_x.data(), true, y.data(), stream);
  EXPECT_THAT(to_host(y, stream), testing::ElementsAre(6, 60, 5, 50, 3, 30));
}

}  // namespace
}  // namespace zoo::gpu
