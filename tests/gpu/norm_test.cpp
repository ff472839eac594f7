#include "zoo/gpu/norm.h"

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

struct Case {
  bool centred;
  std::int64_t rows, count;
  bool weight, bias;
};

struct Inputs {
  std::vector<float> x, weight, bias, grad;
};

template <typename T>
struct Results {
  std::vector<T> y, dx, dweight, dbias;
};

constexpr double epsilon = 1e-5;

// x lies around 3, so that centring matters.
Inputs random_inputs(const Case& test) {
  const std::int64_t count = test.rows * test.count;
  Inputs result = {normal_numbers(count, 1), normal_numbers(test.weight ? test.count : 0, 2),
                   normal_numbers(test.bias ? test.count : 0, 3), normal_numbers(count, 4)};
  for (float& x : result.x) x += 3;
  return result;
}

Results<double> plain(const Case& test, const Inputs& in) {
  Results<double> out;
  out.y.resize(in.x.size());
  out.dx.resize(in.x.size());
  out.dweight.resize(static_cast<std::size_t>(test.count));
  out.dbias.resize(static_cast<std::size_t>(test.count));
  const auto n = static_cast<double>(test.count);
  for (std::int64_t row = 0; row < test.rows; ++row) {
    const std::int64_t start = row * test.count;
    double mean = 0;
    for (std::int64_t i = 0; i < test.count; ++i) mean += test.centred ? in.x[start + i] / n : 0;
    double variance = 0;
    for (std::int64_t i = 0; i < test.count; ++i) variance += (in.x[start + i] - mean) * (in.x[start + i] - mean) / n;
    const double inverse = 1 / std::sqrt(variance + epsilon);
    double mean_h = 0;
    double mean_hn = 0;
    const auto normal = [&](std::int64_t i) { return (in.x[start + i] - mean) * inverse; };
    const auto h = [&](std::int64_t i) { return in.grad[start + i] * (test.weight ? double{in.weight[i]} : 1.0); };
    for (std::int64_t i = 0; i < test.count; ++i) {
      out.y[start + i] = normal(i) * (test.weight ? in.weight[i] : 1) + (test.bias ? in.bias[i] : 0);
      out.dweight[i] += in.grad[start + i] * normal(i);
      out.dbias[i] += in.grad[start + i];
      mean_h += test.centred ? h(i) / n : 0;
      mean_hn += h(i) * normal(i) / n;
    }
    for (std::int64_t i = 0; i < test.count; ++i) out.dx[start + i] = inverse * (h(i) - mean_h - normal(i) * mean_hn);
  }
  return out;
}

Results<float> on_device(const Case& test, const Inputs& in) {
  Stream stream;
  const auto copied = [&](const std::vector<float>& values) { return to_device(std::span(values), stream); };
  const DeviceBuffer<float> x = copied(in.x), weight = copied(in.weight), bias = copied(in.bias);
  const DeviceBuffer<float> grad = copied(in.grad);
  const auto count = static_cast<std::size_t>(test.count);
  DeviceBuffer<float> y(in.x.size()), dx(in.x.size()), dweight(count), dbias(count);
  DeviceBuffer<float> scratch(static_cast<std::size_t>(norm_backward_scratch(test.rows, test.count)));
  const cpu::NormInput<float> input = {x.data(), weight.data(), bias.data(), test.rows, test.count, epsilon};
  const cpu::NormGradients<float> gradients = {dx.data(), dweight.data(), dbias.data()};
  if (test.centred) {
    layer_norm(input, y.data(), stream);
    layer_norm_backward(input, grad.data(), gradients, scratch.data(), stream);
  } else {
    rms_norm(input, y.data(), stream);
    rms_norm_backward(input, grad.data(), gradients, scratch.data(), stream);
  }
  return {to_host(y, stream), to_host(dx, stream), to_host(dweight, stream), to_host(dbias, stream)};
}

// A lane adds up at most 7 squares and 5 times with others: below 12 roundings of 2^-24 at the worst, and a few more
// for y; x - mean loses the bits that the mean of 3 has beyond the deviations of 1, a relative 2^-23.
TEST(Norm, IsTheDefinition) {
  for (const Case& test :
       {Case{true, 3, 70, true, true}, Case{false, 3, 70, true, false}, Case{true, 17, 33, false, false},
        Case{false, 140, 33, true, false}, Case{true, 9, 200, true, true}, Case{false, 2, 1, true, false}}) {
    const Inputs inputs = random_inputs(test);
    const Results<double> expected = plain(test, inputs);
    const Results<float> results = on_device(test, inputs);
    const std::string name = std::to_string(test.rows) + " x " + std::to_string(test.count);
    EXPECT_LT(relative_error(results.y, expected.y), 3e-7) << name;
    // A root mean square norm of one number is its sign: the gradient is what epsilon leaves, all else cancels.
    if (test.count > 1) {
      EXPECT_LT(relative_error(results.dx, expected.dx), 5e-7) << name;
    }
    EXPECT_LT(relative_error(results.dweight, expected.dweight), 5e-7) << name;
    EXPECT_LT(relative_error(results.dbias, expected.dbias), 5e-7) << name;
  }
}

TEST(Norm, RepeatsBitForBitInEveryOrder) {
  const Case test = {true, 130, 17, true, true};
  const Inputs inputs = random_inputs(test);
  set_schedule_seed(1);
  const Results<float> first = on_device(test, inputs);
  set_schedule_seed(2);
  const Results<float> second = on_device(test, inputs);
  EXPECT_EQ(first.y, second.y);
  EXPECT_EQ(first.dx, second.dx);
  EXPECT_EQ(first.dweight, second.dweight);
  EXPECT_EQ(first.dbias, second.dbias);
}

TEST(Norm, GradientsThatNobodyWantsAreLeftOut) {
  const Case test = {false, 5, 33, false, false};
  const Inputs inputs = random_inputs(test);
  Stream stream;
  const DeviceBuffer<float> x = to_device(std::span(inputs.x), stream);
  const DeviceBuffer<float> grad = to_device(std::span(inputs.grad), stream);
  DeviceBuffer<float> dweight(33);
  DeviceBuffer<float> scratch(static_cast<std::size_t>(norm_backward_scratch(5, 33)));
  rms_norm_backward({x.data(), nullptr, nullptr, 5, 33, epsilon}, grad.data(), {nullptr, dweight.data(), nullptr},
                    scratch.data(), stream);
  EXPECT_LT(relative_error(to_host(dweight, stream), plain(test, inputs).dweight), 5e-7);
}

}  // namespace
}  // namespace zoo::gpu
