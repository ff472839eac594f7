#include "zoo/gpu/elementwise.h"

#include <functional>

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

using cpu::Unary;

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}
double gelu_tanh(double x) {
  return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

struct Function {
  Unary kind;
  const char* name;
  std::function<double(double)> value;
  bool positive = false;  // defined there only
};

const Function functions[] = {
    {Unary::neg, "neg", [](double x) { return -x; }},
    {Unary::abs, "abs", [](double x) { return std::abs(x); }},
    {Unary::sign, "sign", [](double x) { return x > 0   ? 1.0
                                                : x < 0 ? -1.0
                                                        : 0.0; }},
    {Unary::square, "square", [](double x) { return x * x; }},
    {Unary::sqrt, "sqrt", [](double x) { return std::sqrt(x); }, true},
    {Unary::rsqrt, "rsqrt", [](double x) { return 1 / std::sqrt(x); }, true},
    {Unary::reciprocal, "reciprocal", [](double x) { return 1 / x; }},
    {Unary::exp, "exp", [](double x) { return std::exp(x); }},
    {Unary::log, "log", [](double x) { return std::log(x); }, true},
    {Unary::sin, "sin", [](double x) { return std::sin(x); }},
    {Unary::cos, "cos", [](double x) { return std::cos(x); }},
    {Unary::tanh, "tanh", [](double x) { return std::tanh(x); }},
    {Unary::sigmoid, "sigmoid", sigmoid},
    {Unary::log_sigmoid, "log_sigmoid", [](double x) { return -std::log1p(std::exp(-x)); }},
    {Unary::softplus, "softplus", [](double x) { return std::log1p(std::exp(x)); }},
    {Unary::relu, "relu", [](double x) { return std::max(x, 0.0); }},
    {Unary::elu, "elu", [](double x) { return x > 0 ? x : std::expm1(x); }},
    {Unary::silu, "silu", [](double x) { return x * sigmoid(x); }},
    {Unary::gelu_tanh, "gelu_tanh", gelu_tanh},
};

// Arguments away from 0, where some functions have no slope.
std::vector<float> arguments_of(const Function& function, std::int64_t count) {
  std::vector<float> x = normal_numbers(count, 1, 2);
  for (float& value : x) {
    if (function.positive) value = std::abs(value);
    value = std::copysign(std::max(std::abs(value), 0.1F), value);
  }
  return x;
}

// Values are a handful of roundings of 2^-24. Derivatives are compared with differences over 1e-4, which err by 1e-8 of
// the third derivative, below 6e4 for the reciprocal at 0.1 where its own is 100: a relative 1e-5 of the worst.
TEST(Elementwise, ValuesAndGradientsAreTheFunctions) {
  Stream stream;
  for (const Function& function : functions) {
    constexpr std::int64_t count = 1100;  // more than a block
    const std::vector<float> x = arguments_of(function, count);
    const std::vector<float> grad = normal_numbers(count, 2);
    std::vector<double> value;
    std::vector<double> gradient;
    for (std::size_t i = 0; i < x.size(); ++i) {
      value.push_back(function.value(x[i]));
      gradient.push_back(grad[i] * (function.value(x[i] + 1e-4) - function.value(x[i] - 1e-4)) / 2e-4);
    }
    const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
    DeviceBuffer<float> device_grad = to_device(std::span(grad), stream);
    DeviceBuffer<float> device_y(x.size());
    unary(function.kind, device_x.data(), device_y.data(), count, stream);
    EXPECT_LT(relative_error(to_host(device_y, stream), value), 3e-7) << function.name;
    const auto* read = cpu::derivative_reads_value(function.kind) ? device_y.data() : device_x.data();
    unary_backward(function.kind, read, device_grad.data(), device_grad.data(), count, stream);
    EXPECT_LT(relative_error(to_host(device_grad, stream), gradient), 1e-5) << function.name;
  }
}

TEST(Elementwise, FarArgumentsStayFiniteAndNaNStaysNaN) {
  Stream stream;
  const std::vector<float> x = {-200, 200, std::nanf("")};
  const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
  DeviceBuffer<float> y(3);
  const auto values_of = [&](Unary kind) {
    unary(kind, device_x.data(), y.data(), 3, stream);
    std::vector<float> values = to_host(y, stream);
    EXPECT_TRUE(std::isnan(values[2])) << static_cast<int>(kind);
    values.pop_back();
    return values;
  };
  using testing::ElementsAre;
  EXPECT_THAT(values_of(Unary::sigmoid), ElementsAre(testing::FloatNear(0, 1e-37F), 1));
  EXPECT_THAT(values_of(Unary::softplus), ElementsAre(testing::FloatNear(0, 1e-37F), 200));
  EXPECT_THAT(values_of(Unary::log_sigmoid), ElementsAre(-200, testing::FloatNear(0, 1e-37F)));
  EXPECT_THAT(values_of(Unary::silu), ElementsAre(testing::FloatNear(0, 1e-37F), 200));
  EXPECT_THAT(values_of(Unary::gelu_tanh), ElementsAre(testing::FloatNear(0, 1e-37F), 200));
  EXPECT_THAT(values_of(Unary::relu), ElementsAre(0, 200));
  EXPECT_THAT(values_of(Unary::elu), ElementsAre(-1, 200));
}

TEST(Elementwise, ScalesAndAdds) {
  Stream stream;
  const std::vector<float> x = {1, -2, 3.5};
  const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
  DeviceBuffer<float> y(3);
  scale(device_x.data(), 2, y.data(), 3, stream);
  EXPECT_THAT(to_host(y, stream), testing::ElementsAre(2, -4, 7));
  add_scalar(y.data(), 1, y.data(), 3, stream);
  EXPECT_THAT(to_host(y, stream), testing::ElementsAre(3, -3, 8));
  scale(nullptr, 2, nullptr, 0, stream);
  EXPECT_THAT(error_of([&] { scale(nullptr, 2, nullptr, -1, stream); }),
              testing::HasSubstr("elementwise on the GPU: count is -1; it must be from 0"));
}

}  // namespace
}  // namespace zoo::gpu
