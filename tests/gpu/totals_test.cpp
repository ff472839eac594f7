#include "zoo/gpu/totals.h"

#include <numeric>

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

const std::vector<std::int64_t> counts = {0, 1, 31, 256, 1000, 16384, 16385, 40000};

// Sums of doubles, rounded to float once: by 2^-24 at most.
TEST(Totals, AddUpInDouble) {
  for (const std::int64_t count : counts) {
    std::vector<double> numbers(static_cast<std::size_t>(count));
    std::iota(numbers.begin(), numbers.end(), 0.25);
    const double expected = std::accumulate(numbers.begin(), numbers.end(), 0.0);
    Stream stream;
    const DeviceBuffer<double> x = to_device(std::span(numbers), stream);
    DeviceBuffer<float> sum(1);
    total(x.data(), count, sum.data(), stream);
    EXPECT_NEAR(to_host(sum, stream)[0], expected, 0x1p-24 * expected) << count;
  }
}

// The CPU's, but for the order of additions: their roundings, 2^-53 each, grow at most as the number of terms.
TEST(Totals, OfSquaresAreTheCpus) {
  for (const std::int64_t count : counts) {
    const std::vector<float> numbers = normal_numbers(count, 3, 100);
    const double expected = std::accumulate(numbers.begin(), numbers.end(), 0.0,
                                            [](double sum, float x) { return sum + double{x} * double{x}; });
    Stream stream;
    const DeviceBuffer<float> x = to_device(std::span(numbers), stream);
    DeviceBuffer<double> scratch(static_cast<std::size_t>(sum_of_squares_scratch(count))), sum(1);
    sum_of_squares(x.data(), count, scratch.data(), sum.data(), stream);
    const double result = to_host(sum, stream)[0];
    EXPECT_NEAR(result, expected, 0x1p-53 * static_cast<double>(count) * expected) << count;
    sum_of_squares(x.data(), count, scratch.data(), sum.data(), stream);
    EXPECT_EQ(to_host(sum, stream)[0], result) << "the same bits again";
  }
}

TEST(Totals, NegativeCountsAreRefused) {
  Stream stream;
  EXPECT_THROW(total(nullptr, -1, nullptr, stream), Error);
  EXPECT_THROW(sum_of_squares_scratch(-1), Error);
}

}  // namespace
}  // namespace zoo::gpu
