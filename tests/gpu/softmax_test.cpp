#include "zoo/gpu/softmax.h"

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

using Forward = void (*)(const float*, std::int64_t, std::int64_t, float*, Stream&);
using Backward = void (*)(const float*, const float*, std::int64_t, std::int64_t, float*, Stream&);

// An exponential and a quotient are 2 roundings each, sums of at most 7 numbers a lane 12 more: below 1e-6.
constexpr double bound = 1e-6;

void compare(std::int64_t rows, std::int64_t count, bool logarithm) {
  Stream stream;
  const std::vector<float> x = normal_numbers(rows * count, 1, 3), grad = normal_numbers(rows * count, 2);
  std::vector<double> value(x.size()), gradient(x.size());
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
    const std::size_t begin = row * static_cast<std::size_t>(count), end = begin + static_cast<std::size_t>(count);
    double total = 0, sum = 0, product = 0;
    for (std::size_t i = begin; i < end; ++i) total += std::exp(double{x[i]});
    for (std::size_t i = begin; i < end; ++i) {
      sum += grad[i];
      product += grad[i] * std::exp(double{x[i]}) / total;
    }
    for (std::size_t i = begin; i < end; ++i) {
      const double part = std::exp(double{x[i]}) / total;
      value[i] = logarithm ? std::log(part) : part;
      gradient[i] = logarithm ? grad[i] - part * sum : part * (grad[i] - product);
    }
  }
  const Forward forward = logarithm ? log_softmax : softmax;
  const Backward backward = logarithm ? log_softmax_backward : softmax_backward;
  const DeviceBuffer<float> device_x = to_device(std::span(x), stream),
                            device_grad = to_device(std::span(grad), stream);
  DeviceBuffer<float> y(x.size()), result(x.size());
  forward(device_x.data(), rows, count, y.data(), stream);
  backward(y.data(), device_grad.data(), rows, count, result.data(), stream);
  EXPECT_LT(relative_error(to_host(y, stream), value), bound) << rows << " x " << count;
  EXPECT_LT(relative_error(to_host(result, stream), gradient), bound) << rows << " x " << count;
}

TEST(Softmax, IsTheDefinition) {
  for (const bool logarithm : {false, true}) {
    compare(3, 70, logarithm);
    compare(17, 5, logarithm);
    compare(1, 200, logarithm);
  }
}

TEST(Softmax, FarArgumentsStayFiniteAndARowOfNothingIsNaN) {
  Stream stream;
  const std::vector<float> x = {3000, 2999, -3000, -INFINITY, -INFINITY, -INFINITY};
  const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
  DeviceBuffer<float> y(6);
  softmax(device_x.data(), 2, 3, y.data(), stream);
  const std::vector<float> values = to_host(y, stream);
  EXPECT_NEAR(values[0], 1 / (1 + std::exp(-1.0)), 1e-6);
  EXPECT_EQ(values[2], 0);
  EXPECT_TRUE(std::isnan(values[3]));
  softmax(device_x.data(), 0, 3, y.data(), stream);
  softmax(device_x.data(), 3, 0, y.data(), stream);
}

}  // namespace
}  // namespace zoo::gpu
