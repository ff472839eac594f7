#include "zoo/gpu/examples/matmul.h"

#include <cmath>
#include <random>

#include "gpu_testing.h"

namespace zoo::gpu {
namespace {

// Root mean square of c - a b, relative to that of a b.
double relative_error(int m, int n, int k, Precision precision) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> a(static_cast<std::size_t>(m * k));
  std::vector<float> b(static_cast<std::size_t>(k * n));
  for (float& value : a) value = normal(random);
  for (float& value : b) value = normal(random);
  Stream stream;
  const DeviceBuffer<float> device_a = to_device(std::span(a), stream);
  const DeviceBuffer<float> device_b = to_device(std::span(b), stream);
  DeviceBuffer<float> device_c(static_cast<std::size_t>(m * n));
  tiled_matmul(device_a.data(), device_b.data(), device_c.data(), m, n, k, precision, stream);
  const std::vector<float> c = to_host(device_c, stream);
  double squares = 0;
  double error = 0;
  for (int row = 0; row < m; ++row) {
    for (int column = 0; column < n; ++column) {
      double sum = 0;
      for (int i = 0; i < k; ++i) sum += double{a[row * k + i]} * b[i * n + column];
      squares += sum * sum;
      error += (sum - c[row * n + column]) * (sum - c[row * n + column]);
    }
  }
  return std::sqrt(error / squares);
}

// Rounding to p bits of mantissa errs by a relative 2^-(p+1) at most, evenly spread below a step that is on average
// 0.72 of the number: 2^-(p+1) * 0.72 / sqrt(3) root mean square, and sqrt(2) of it for a product of two.
TEST(TiledMatmul, ErrsAsItsPrecisionDoes) {
  const auto expected = [](int bits) { return std::ldexp(1.0, -bits - 1) * 0.72 / std::sqrt(3.0) * std::sqrt(2.0); };
  // Split TF32 drops 2^-20 of each operand at most; the rest are the roundings of a float sum of 3 k products.
  EXPECT_LT(relative_error(64, 32, 96, Precision::float32), 1e-6);
  for (const auto& [precision, bits] : {std::pair{Precision::tf32, 10}, std::pair{Precision::bf16, 7}}) {
    const double error = relative_error(64, 32, 96, precision);
    EXPECT_LT(error, 1.3 * expected(bits));
    EXPECT_GT(error, 0.7 * expected(bits)) << "more exact than its format: not rounded as the hardware does";
  }
}

TEST(TiledMatmul, RefusesWhatItsTilesDoNotDivide) {
  Stream stream;
  EXPECT_THROW(tiled_matmul(nullptr, nullptr, nullptr, 33, 32, 32, Precision::tf32, stream), UsageError);
}

}  // namespace
}  // namespace zoo::gpu
