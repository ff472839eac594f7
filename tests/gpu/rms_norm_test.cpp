#include "zoo/gpu/examples/rms_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "zoo/gpu/memory.h"

namespace zoo::gpu {
namespace {

TEST(RmsNorm, IsThePlainLoop) {
  constexpr float epsilon = 1e-5F;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  Stream stream;
  for (const auto& [rows, width] : {std::pair{1, 1}, {3, 31}, {2, 128}, {5, 200}}) {
    std::vector<float> x(static_cast<std::size_t>(rows * width));
    std::vector<float> weight(static_cast<std::size_t>(width));
    for (float& value : x) value = normal(random);
    for (float& value : weight) value = normal(random);
    const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
    const DeviceBuffer<float> device_weight = to_device(std::span(weight), stream);
    DeviceBuffer<float> device_y(x.size());
    rms_norm(device_x.data(), device_weight.data(), rows, width, epsilon, device_y.data(), stream);
    const std::vector<float> y = to_host(device_y, stream);
    for (int row = 0; row < rows; ++row) {
      double squares = 0;
      for (int i = 0; i < width; ++i) squares += double{x[row * width + i]} * x[row * width + i];
      for (int i = 0; i < width; ++i) {
        const double expected = x[row * width + i] / std::sqrt(squares / width + epsilon) * weight[i];
        // The sum of at most 200 squares errs by at most 7 roundings of depth, its root by half of that; four more.
        EXPECT_NEAR(y[row * width + i], expected, 8 * 6e-8 * std::abs(expected)) << row << " " << i;
      }
    }
  }
}

}  // namespace
}  // namespace zoo::gpu
