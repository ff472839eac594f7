#include "zoo/gpu/silu_gate.h"

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

// A handful of roundings of 2^-24 a number.
TEST(SiluGate, IsTheDefinition) {
  Stream stream;
  constexpr std::int64_t count = 1100;  // more than a block
  const std::vector<float> y = normal_numbers(count, 1), z = normal_numbers(count, 2), grad = normal_numbers(count, 3);
  std::vector<double> value, dy, dz;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double gate = 1 / (1 + std::exp(-double{z[i]}));
    value.push_back(y[i] * z[i] * gate);
    dy.push_back(grad[i] * z[i] * gate);
    dz.push_back(double{grad[i]} * y[i] * (gate + z[i] * gate * (1 - gate)));
  }
  const DeviceBuffer<float> device_y = to_device(std::span(y), stream), device_z = to_device(std::span(z), stream);
  const DeviceBuffer<float> device_grad = to_device(std::span(grad), stream);
  DeviceBuffer<float> result(y.size()), device_dy(y.size()), device_dz(y.size());
  silu_gate(device_y.data(), device_z.data(), result.data(), count, stream);
  EXPECT_LT(relative_error(to_host(result, stream), value), 3e-7);
  silu_gate_backward(device_y.data(), device_z.data(), device_grad.data(), device_dy.data(), device_dz.data(), count,
                     stream);
  EXPECT_LT(relative_error(to_host(device_dy, stream), dy), 3e-7);
  EXPECT_LT(relative_error(to_host(device_dz, stream), dz), 5e-7);
  silu_gate_backward(device_y.data(), device_z.data(), device_grad.data(), nullptr, device_dz.data(), count, stream);
  EXPECT_LT(relative_error(to_host(device_dz, stream), dz), 5e-7) << "without dy";
}

}  // namespace
}  // namespace zoo::gpu
