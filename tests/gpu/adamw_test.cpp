#include "zoo/gpu/adamw.h"

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

// The step of Loshchilov and Hutter 2019 in double; a handful of roundings of 2^-24 a number.
TEST(AdamW, IsTheDefinition) {
  Stream stream;
  constexpr std::int64_t count = 1100;  // more than a block
  const cpu::AdamWFactors f = {.beta1 = 0.9F,
                               .beta2 = 0.999F,
                               .shrink = 0.99F,
                               .step = 0.01F,
                               .inverse_root = 3,
                               .epsilon = 1e-8F,
                               .gradient_scale = 0.5F};
  const std::vector<float> gradient = normal_numbers(count, 1), value = normal_numbers(count, 2);
  std::vector<float> moment1 = normal_numbers(count, 3), moment2 = normal_numbers(count, 4);
  for (float& v : moment2) v = v * v;
  std::vector<double> new_value, new_moment1, new_moment2;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const double g = double{gradient[i]} * f.gradient_scale;
    new_moment1.push_back(double{f.beta1} * moment1[i] + (1.0 - f.beta1) * g);
    new_moment2.push_back(double{f.beta2} * moment2[i] + (1.0 - f.beta2) * g * g);
    new_value.push_back(double{value[i]} * f.shrink -
                        f.step * new_moment1[i] / (std::sqrt(new_moment2[i]) * f.inverse_root + f.epsilon));
  }
  const DeviceBuffer<float> device_gradient = to_device(std::span(gradient), stream);
  DeviceBuffer<float> device_value = to_device(std::span(value), stream);
  DeviceBuffer<float> device_moment1 = to_device(std::span(moment1), stream);
  DeviceBuffer<float> device_moment2 = to_device(std::span(moment2), stream);
  adamw(f, device_gradient.data(), device_value.data(), device_moment1.data(), device_moment2.data(), count, stream);
  EXPECT_LT(relative_error(to_host(device_value, stream), new_value), 3e-7);
  EXPECT_LT(relative_error(to_host(device_moment1, stream), new_moment1), 3e-7);
  EXPECT_LT(relative_error(to_host(device_moment2, stream), new_moment2), 3e-7);
}

}  // namespace
}  // namespace zoo::gpu
