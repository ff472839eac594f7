#include "zoo/gpu/rope.h"

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

constexpr cpu::RopeExtents extents = {.rows = 6, .table_rows = 3, .heads = 2, .pairs = 5};

std::vector<float> turned(const std::vector<float>& x, bool interleaved, bool inverse) {
  Stream stream;
  std::vector<float> cosines, sines;
  for (int i = 0; i < extents.table_rows * extents.pairs; ++i) {
    cosines.push_back(std::cos(static_cast<float>(i)));
    sines.push_back(std::sin(static_cast<float>(i)));
  }
  const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
  const DeviceBuffer<float> device_cosines = to_device(std::span(cosines), stream);
  const DeviceBuffer<float> device_sines = to_device(std::span(sines), stream);
  DeviceBuffer<float> y(x.size());
  rope(extents, device_x.data(), device_cosines.data(), device_sines.data(), interleaved, inverse, y.data(), stream);
  return to_host(y, stream);
}

// Three roundings of 2^-24 a number, and those of the table.
TEST(Rope, TurnsEachPairByItsAngle) {
  const std::vector<float> x = normal_numbers(extents.rows * extents.heads * 2 * extents.pairs, 1);
  for (const bool interleaved : {false, true}) {
    std::vector<double> expected(x.size());
    for (std::int64_t row = 0; row < extents.rows; ++row) {
      for (std::int64_t head = 0; head < extents.heads; ++head) {
        for (std::int64_t pair = 0; pair < extents.pairs; ++pair) {
          const auto origin = static_cast<std::size_t>((row * extents.heads + head) * 2 * extents.pairs);
          const std::size_t first = origin + static_cast<std::size_t>(interleaved ? 2 * pair : pair);
          const std::size_t second = first + static_cast<std::size_t>(interleaved ? 1 : extents.pairs);
          const auto angle = static_cast<double>(row % extents.table_rows * extents.pairs + pair);
          expected[first] = x[first] * std::cos(angle) - x[second] * std::sin(angle);
          expected[second] = x[second] * std::cos(angle) + x[first] * std::sin(angle);
        }
      }
    }
    const std::vector<float> y = turned(x, interleaved, false);
    EXPECT_LT(relative_error(y, expected), 2e-7);
    const std::vector<double> there(x.begin(), x.end());
    EXPECT_LT(relative_error(turned(y, interleaved, true), there), 3e-7) << "and back";
  }
}

// Rounded from double to float, whose unit is 2^-24 of a number below 1.
TEST(Rope, TablesAreOfTheirPositions) {
  Stream stream;
  constexpr int rows = 7;
  constexpr int pairs = 3;
  const std::vector<std::int32_t> listed = {5, 0, 3, 40000, 1, 1, 2};
  const DeviceBuffer<std::int32_t> device_listed = to_device(std::span(listed), stream);
  DeviceBuffer<float> cosines(rows * pairs), sines(rows * pairs);
  const auto expect = [&](const RopePositions& positions, const auto& position) {
    rope_table(positions, rows, pairs, 500, cosines.data(), sines.data(), stream);
    const std::vector<float> cosine = to_host(cosines, stream), sine = to_host(sines, stream);
    for (int i = 0; i < rows * pairs; ++i) {
      const double angle = position(i / pairs) * std::pow(500.0, -static_cast<double>(i % pairs) / pairs);
      EXPECT_NEAR(cosine[i], std::cos(angle), 0x1p-24) << i;
      EXPECT_NEAR(sine[i], std::sin(angle), 0x1p-24) << i;
    }
  };
  expect({nullptr, 1000000, 0}, [](int row) { return 1000000.0 + row; });
  expect({nullptr, 2, 4}, [](int row) { return (2.0 + row) - (2 + row) / 4 * 4; });
  expect({device_listed.data(), 9, 2}, [&](int row) { return static_cast<double>(listed[row]); });
}

}  // namespace
}  // namespace zoo::gpu
