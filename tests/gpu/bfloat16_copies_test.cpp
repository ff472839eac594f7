#include "zoo/gpu/bfloat16_copies.h"

#include <bit>
#include <cmath>
#include <limits>

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

using testing::ElementsAre;

std::vector<std::uint16_t> rounded(const std::vector<float>& x) {
  Stream stream;
  const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
  DeviceBuffer<std::uint16_t> result(x.size());
  to_bfloat16(device_x.data(), result.data(), static_cast<std::int64_t>(x.size()), stream);
  return to_host(result, stream);
}

std::vector<float> widened(const std::vector<std::uint16_t>& x) {
  Stream stream;
  const DeviceBuffer<std::uint16_t> device_x = to_device(std::span(x), stream);
  DeviceBuffer<float> result(x.size());
  from_bfloat16(device_x.data(), result.data(), static_cast<std::int64_t>(x.size()), stream);
  return to_host(result, stream);
}

TEST(Bfloat16Copies, TiesGoToTheEvenNeighbour) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {1,     1 + 0x1p-8F, 1 + 0x1.8p-7F,   -1 - 0x1.8p-7F, 1 + 0x1.02p-8F,
                                -0.0F, -infinity,   0x1.fffffep127F, 0x1p-126F};
  EXPECT_THAT(rounded(x), ElementsAre(0x3f80, 0x3f80, 0x3f82, 0xbf82, 0x3f81, 0x8000, 0xff80, 0x7f80, 0x0080));
  EXPECT_TRUE(std::isnan(widened(rounded({std::nanf("")}))[0]));
}

TEST(Bfloat16Copies, KeepEightBitsOfEachNumber) {
  const std::vector<float> x = normal_numbers(5001, 1);  // more than a block, and no multiple of one
  const std::vector<float> y = widened(rounded(x));
  double largest = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(y[i]) & 0xffff, 0U);
    largest = std::max(largest, std::abs(double{y[i]} - x[i]) / std::abs(x[i]));
  }
  EXPECT_LE(largest, 0x1p-8);
  EXPECT_GT(largest, 0x1p-9) << "of so many numbers one lies near a tie";
  EXPECT_EQ(widened(rounded(y)), y) << "what is bfloat16 already stays";
}

TEST(Bfloat16Copies, NothingAndTooMuch) {
  EXPECT_TRUE(rounded({}).empty());
  Stream stream;
  EXPECT_THAT(error_of([&] { to_bfloat16(nullptr, nullptr, std::int64_t{1} << 31, stream); }),
              testing::HasSubstr("2147483648"));
  EXPECT_THAT(error_of([&] { from_bfloat16(nullptr, nullptr, -1, stream); }), testing::HasSubstr("-1"));
}

}  // namespace
}  // namespace zoo::gpu
