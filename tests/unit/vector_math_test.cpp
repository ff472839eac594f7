// Accuracy and limits of the vectorised elementary functions, through the ops that they make.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "zoo/ops/ops.h"

namespace zoo {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

using Function = Tensor (*)(const Tensor&);
using Exact = long double (*)(long double);

// f at `count` points evenly spread over [lower, upper] is within `bound` units in the last place of the exact value.
template <typename T>
void expect_accurate(Function f, Exact exact, double lower, double upper, double bound) {
  const std::int64_t count = 40'001;
  std::vector<T> points(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < points.size(); ++i) {
    points[i] = static_cast<T>(lower + (upper - lower) * static_cast<double>(i) / static_cast<double>(count - 1));
  }
  const Tensor y = f(Tensor::from<T>({count}, std::span<const T>(points)));
  double worst = 0;
  T worst_at = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const long double expected = exact(static_cast<long double>(points[i]));
    if (std::abs(expected) < 4 * static_cast<long double>(std::numeric_limits<T>::min())) continue;  // may be flushed
    // In long double, since a float as small as a unit may be flushed to zero.
    const long double unit = std::ldexp(1.0L, std::ilogb(expected) - std::numeric_limits<T>::digits + 1);
    const double error = static_cast<double>(std::abs(static_cast<long double>(y.data<T>()[i]) - expected) / unit);
    if (!(error <= worst)) {
      worst = error;
      worst_at = points[i];
    }
  }
  EXPECT_LE(worst, bound) << "at " << worst_at << ", " << dtype_name(dtype_of<T>);
}

void expect_accurate_in_both(Function f, Exact exact, double lower, double upper, double bound) {
  expect_accurate<float>(f, exact, lower, upper, bound);
  expect_accurate<double>(f, exact, lower, upper, bound);
}

long double exact_softplus(long double x) {
  return std::max(x, 0.0L) + log1pl(expl(-std::abs(x)));
}

TEST(VectorMath, IsAccurate) {
  expect_accurate_in_both(ops::exp, expl, -87, 88, 1.5);
  expect_accurate_in_both(ops::exp, expl, -1, 1, 1.5);
  expect_accurate_in_both(ops::log, logl, 1e-3, 4, 2);
  expect_accurate_in_both(ops::log, logl, 1e-30, 1e30, 2);
  expect_accurate_in_both(ops::tanh, tanhl, -10, 10, 3);
  expect_accurate_in_both(ops::tanh, tanhl, -0.1, 0.1, 3);
  expect_accurate_in_both(
      ops::sigmoid, [](long double x) { return 1 / (1 + expl(-x)); }, -80, 80, 3);
  expect_accurate_in_both(ops::softplus, exact_softplus, -80, 80, 3);
  expect_accurate_in_both(
      ops::log_sigmoid, [](long double x) { return -exact_softplus(-x); }, -80, 80, 3);
  expect_accurate_in_both(
      ops::silu, [](long double x) { return x / (1 + expl(-x)); }, -80, 80, 3.5);
  expect_accurate_in_both(
      ops::elu, [](long double x) { return x > 0 ? x : expm1l(x); }, -30, 5, 1.5);
  expect_accurate_in_both(ops::sin, sinl, -3, 3, 3);
  expect_accurate_in_both(ops::sin, sinl, -35000, 35000, 3);
  expect_accurate_in_both(ops::cos, cosl, -35000, 35000, 3);
}

// The argument of its exponential grows as x^3, and a rounding of it counts as often as it is large.
TEST(VectorMath, GeluIsAccurateForItsCondition) {
  const Exact exact = [](long double x) {
    const long double twice_u = 1.595769121605730711759800182L * (x + 0.044715L * x * x * x);
    return x / (1 + expl(-twice_u));
  };
  expect_accurate_in_both(ops::gelu_tanh, exact, -1, 8, 2 + 3 * 1.7 + 3);
  expect_accurate_in_both(ops::gelu_tanh, exact, -5, -1, 2 + 3 * 17 + 3);
}

struct Limit {
  const char* name;
  Function f;
  double at;
  double expected;
};

TEST(VectorMath, LimitsAndNaN) {
  constexpr double huge = 1e30;
  const Limit limits[] = {
      {"exp", ops::exp, -infinity, 0},
      {"exp", ops::exp, infinity, infinity},
      {"exp", ops::exp, -huge, 0},
      {"exp", ops::exp, huge, infinity},
      {"exp", ops::exp, 0, 1},
      {"log", ops::log, 0, -infinity},
      {"log", ops::log, infinity, infinity},
      {"log", ops::log, 1, 0},
      {"tanh", ops::tanh, -infinity, -1},
      {"tanh", ops::tanh, infinity, 1},
      {"tanh", ops::tanh, huge, 1},
      {"sigmoid", ops::sigmoid, -infinity, 0},
      {"sigmoid", ops::sigmoid, infinity, 1},
      {"sigmoid", ops::sigmoid, -huge, 0},
      {"sigmoid", ops::sigmoid, 0, 0.5},
      {"softplus", ops::softplus, 100, 100},
      {"softplus", ops::softplus, -infinity, 0},
      {"softplus", ops::softplus, infinity, infinity},
      {"softplus", ops::softplus, huge, static_cast<float>(huge)},
      {"log_sigmoid", ops::log_sigmoid, -infinity, -infinity},
      {"log_sigmoid", ops::log_sigmoid, infinity, 0},
      {"log_sigmoid", ops::log_sigmoid, -100, -100},
      {"silu", ops::silu, -infinity, 0},
      {"silu", ops::silu, infinity, infinity},
      {"gelu_tanh", ops::gelu_tanh, -infinity, 0},
      {"gelu_tanh", ops::gelu_tanh, -huge, 0},
      {"gelu_tanh", ops::gelu_tanh, huge, static_cast<float>(huge)},
      {"elu", ops::elu, -infinity, -1},
      {"elu", ops::elu, 1000, 1000},
      {"relu", ops::relu, -infinity, 0},
      {"sqrt", ops::sqrt, 0, 0},
      {"rsqrt", ops::rsqrt, infinity, 0},
      {"sign", ops::sign, -infinity, -1},
      {"sign", ops::sign, 0, 0},
  };
  for (const Limit& limit : limits) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      // 19 elements, so that full vectors of every width and a rest are seen.
      const Tensor y = limit.f(Tensor::full({19}, static_cast<float>(limit.at), dtype)).to(DType::f64);
      for (const double value : y.values<double>())
        EXPECT_EQ(value, limit.expected) << limit.name << " at " << limit.at;
      const Tensor nan = limit.f(Tensor::full({19}, std::nan(""), dtype)).to(DType::f64);
      for (const double value : nan.values<double>()) EXPECT_TRUE(std::isnan(value)) << limit.name;
    }
  }
  for (const double bad : {infinity, -infinity}) {
    EXPECT_TRUE(std::isnan(ops::sin(Tensor::scalar(bad)).item()));
    EXPECT_TRUE(std::isnan(ops::cos(Tensor::scalar(bad)).item()));
  }
  EXPECT_TRUE(std::isnan(ops::log(Tensor::scalar(-1)).item()));
  EXPECT_TRUE(std::signbit(ops::tanh(Tensor::scalar(-0.0)).item()));
  EXPECT_FALSE(std::signbit(ops::tanh(Tensor::scalar(0.0)).item()));
}

}  // namespace
}  // namespace zoo
