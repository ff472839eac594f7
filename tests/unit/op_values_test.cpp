// Values of ops that are known exactly, or published.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "zoo/core/error.h"
#include "zoo/core/parallel.h"
#include "zoo/ops/ops.h"

namespace zoo {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr float infinity = std::numeric_limits<float>::infinity();

std::vector<double> numbers(const Tensor& x) {
  const Tensor as_f64 = x.to(DType::f64);
  const auto values = as_f64.values<double>();
  return {values.begin(), values.end()};
}

// Whole numbers in [-8, 8]: sums of fewer than a million of them are exact, so nothing may be off by anything.
Tensor whole_numbers(const Shape& shape, std::uint64_t key, DType dtype = DType::f32) {
  RandomStream stream(RandomKey{key});
  Tensor result = Tensor::empty(shape, DType::f64);
  for (std::int64_t i = 0; i < result.size(); ++i) {
    result.data<double>()[i] = static_cast<double>(stream.below(17)) - 8;
  }
  return result.to(dtype);
}

std::vector<double> iota(std::int64_t count, double first = 0) {
  std::vector<double> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), first);
  return values;
}

Tensor counting(const Shape& shape) {
  const auto values = iota(shape.size());
  return Tensor::from<double>(shape, std::span<const double>(values));
}

TEST(OpValues, SumsOfWholeNumbersAreExact) {
  for (const Shape& shape : {Shape{3, 5000, 2}, Shape{70, 9, 33}, Shape{2, 1100, 600}, Shape{1, 100000, 1}}) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Tensor x = whole_numbers(shape, 1, dtype);
      for (int axis = 0; axis < 3; ++axis) {
        Tensor expected = Tensor::zeros(shape.with(axis, 1), DType::f64);
        const auto values = numbers(x);
        for (std::int64_t i = 0; i < shape[0]; ++i) {
          for (std::int64_t j = 0; j < shape[1]; ++j) {
            for (std::int64_t k = 0; k < shape[2]; ++k) {
              const std::int64_t at[] = {axis == 0 ? 0 : i, axis == 1 ? 0 : j, axis == 2 ? 0 : k};
              const Shape& s = expected.shape();
              expected.data<double>()[(at[0] * s[1] + at[1]) * s[2] + at[2]] +=
                  values[static_cast<std::size_t>((i * shape[1] + j) * shape[2] + k)];
            }
          }
        }
        ASSERT_EQ(numbers(ops::sum(x, axis, true)), numbers(expected)) << shape.str() << ", axis " << axis;
      }
    }
  }
}

TEST(OpValues, SumToAddsWhatBroadcastRepeats) {
  const Tensor x = whole_numbers({4, 1, 3, 2}, 2);
  const Tensor repeated = ops::broadcast_to(x, {5, 4, 7, 3, 2});
  EXPECT_EQ(numbers(ops::sum_to(repeated, x.shape())), numbers(x * 35.0));
}

TEST(OpValues, PermuteMovesEveryElement) {
  const Tensor x = counting({3, 70, 2, 41});
  const Tensor y = ops::permute(x, {3, 0, 2, 1});
  ASSERT_EQ(y.shape(), (Shape{41, 3, 2, 70}));
  for (std::int64_t a = 0; a < 3; ++a) {
    for (std::int64_t b = 0; b < 70; ++b) {
      for (std::int64_t c = 0; c < 2; ++c) {
        for (std::int64_t d = 0; d < 41; ++d) {
          ASSERT_EQ(y.data<double>()[((d * 3 + a) * 2 + c) * 70 + b], ((a * 70 + b) * 2 + c) * 41 + d);
        }
      }
    }
  }
  EXPECT_EQ(numbers(ops::permute(y, {1, 3, 2, 0})), numbers(x));
}

TEST(OpValues, SlicesPutTogetherAgain) {
  const Tensor x = counting({4, 6, 5});
  for (int axis = 0; axis < 3; ++axis) {
    const std::int64_t extent = x.dim(axis);
    const Tensor first = ops::slice(x, axis, 0, 1);
    const Tensor second = ops::slice(x, axis, 1, extent - 1);
    const Tensor last = ops::slice(x, axis, extent - 1, extent);
    EXPECT_EQ(numbers(ops::concat({first, second, last}, axis)), numbers(x));
    const Tensor padded = ops::pad(second, axis, 1, 1);
    EXPECT_EQ(numbers(padded + ops::pad(first, axis, 0, extent - 1) + ops::pad(last, axis, extent - 1, 0)), numbers(x));
  }
}

TEST(OpValues, ShapesOfWholeNumbersKeepTheirType) {
  const Tensor x = Tensor::from<std::int32_t>({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(ops::transpose(x).values<std::int32_t>(), ElementsAre(1, 4, 2, 5, 3, 6));
  EXPECT_THAT(ops::slice(x, 1, 1, 2).values<std::int32_t>(), ElementsAre(2, 5));
  EXPECT_THAT(ops::cast(x, DType::f32).values<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(OpValues, GatherAndScatter) {
  const Tensor x = counting({3, 2});
  const Tensor indices = Tensor::from<std::int32_t>({4}, {2, 0, 2, 1});
  EXPECT_THAT(numbers(ops::gather_rows(x, indices)), ElementsAre(4, 5, 0, 1, 4, 5, 2, 3));
  EXPECT_THAT(numbers(ops::scatter_add_rows(counting({4, 2}), indices, 4)), ElementsAre(2, 3, 6, 7, 4, 6, 0, 0));
  EXPECT_THAT([&] { ops::gather_rows(x, Tensor::from<std::int32_t>({1}, {3})); },
              ThrowsMessage<Error>(HasSubstr("index 3 of 3 rows")));
}

TEST(OpValues, MaximumArgmaxAndCumsum) {
  const Tensor x = Tensor::from<double>({2, 4}, {1, 7, 7, 2, -3, -9, -3, -4});
  EXPECT_THAT(numbers(ops::max(x, 1)), ElementsAre(7, -3));
  EXPECT_THAT(ops::argmax(x).values<std::int32_t>(), ElementsAre(1, 0));
  const Tensor variable = x.variable();
  const Tensor largest = ops::sum(ops::max(variable, 1));
  EXPECT_THAT(numbers(grad(largest, std::array{variable})[0]), ElementsAre(0, 1, 0, 0, 1, 0, 0, 0));
  EXPECT_THAT(numbers(ops::cumsum(x, 1)), ElementsAre(1, 8, 15, 17, -3, -12, -15, -19));
  EXPECT_THAT(numbers(ops::cumsum(x, 1, true)), ElementsAre(17, 16, 9, 2, -19, -16, -7, -4));
  EXPECT_THAT([] { ops::max(Tensor::zeros({2, 0}), 1); }, ThrowsMessage<Error>(HasSubstr("[2, 0]")));
}

TEST(OpValues, NaNIsTheLargest) {
  const Tensor x = Tensor::from<float>({4}, {1, NAN, 3, NAN});
  EXPECT_TRUE(std::isnan(ops::max(x, 0).item()));
  EXPECT_EQ(ops::argmax(x).item(), 1);
  EXPECT_TRUE(std::isnan(ops::maximum(Tensor::scalar(1), Tensor::scalar(NAN)).item()));
  EXPECT_TRUE(std::isnan(ops::maximum(Tensor::scalar(NAN), Tensor::scalar(1)).item()));
}

TEST(OpValues, TheGradientOfEqualOperandsGoesToTheFirst) {
  const Tensor a = Tensor::scalar(2).variable();
  const Tensor b = Tensor::scalar(2).variable();
  for (const Tensor& y : {ops::maximum(a, b), ops::minimum(a, b)}) {
    const Tensors grads = grad(y, std::array{a, b});
    EXPECT_EQ(grads[0].item(), 1);
    EXPECT_EQ(grads[1].item(), 0);
  }
  const Tensor zero = Tensor::scalar(0).variable();
  EXPECT_EQ(grad(ops::relu(zero), std::array{zero})[0].item(), 0);
  EXPECT_EQ(grad(ops::abs(zero), std::array{zero})[0].item(), 0);
}

// PyTorch 2's gelu(x, approximate="tanh") in float64, as its documentation defines it: 0.5 x (1 + tanh(sqrt(2/pi) (x +
// 0.044715 x^3))).
TEST(OpValues, GeluTanh) {
  const Tensor y = ops::gelu_tanh(Tensor::from<double>({5}, {-3, -1, 0, 1, 3}));
  for (std::int64_t i = 0; i < 5; ++i) {
    const double x = std::array{-3., -1., 0., 1., 3.}[static_cast<std::size_t>(i)];
    const double expected = 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    EXPECT_NEAR(y.data<double>()[i], expected, 1e-15);
  }
  EXPECT_NEAR(y.data<double>()[3], 0.8411919906082768, 1e-15);
  EXPECT_NEAR(y.data<double>()[0], -0.0036373920817729943, 1e-15);
}

TEST(OpValues, SoftmaxOfExtremes) {
  EXPECT_THAT(numbers(ops::softmax(Tensor::from<float>({3}, {0, -infinity, 0}))), ElementsAre(0.5, 0, 0.5));
  EXPECT_THAT(numbers(ops::softmax(Tensor::from<float>({2}, {1e30F, -1e30F}))), ElementsAre(1, 0));
  EXPECT_THAT(numbers(ops::log_softmax(Tensor::from<float>({2}, {1000, 0}))), ElementsAre(0, -1000));
  EXPECT_TRUE(std::isnan(numbers(ops::softmax(Tensor::full({3}, -infinity)))[0]));
  EXPECT_TRUE(std::isnan(numbers(ops::softmax(Tensor::from<float>({3}, {0, NAN, 1})))[0]));
}

TEST(OpValues, NormsOfZerosAndConstants) {
  const Tensor zeros = Tensor::zeros({2, 7});
  EXPECT_THAT(numbers(ops::rms_norm(zeros, {}, 1e-6)), testing::Each(0));
  EXPECT_THAT(numbers(ops::layer_norm(Tensor::full({1, 7}, 3), {}, {}, 1e-5)), testing::Each(0));
  // [3, 4]: root mean square sqrt(12.5); layer norm: mean 3.5, deviation 0.5.
  const Tensor x = Tensor::from<double>({2}, {3, 4});
  EXPECT_THAT(numbers(ops::rms_norm(x, {}, 0)),
              ElementsAre(DoubleNear(3 / std::sqrt(12.5), 1e-15), DoubleNear(4 / std::sqrt(12.5), 1e-15)));
  EXPECT_THAT(numbers(ops::layer_norm(x, {}, {}, 0)), ElementsAre(-1, 1));
  // A large mean does not drown the variance, as it would in a difference of squares.
  const Tensor y = ops::layer_norm(Tensor::from<float>({4}, {10000, 10001, 10002, 10003}), {}, {}, 0);
  EXPECT_THAT(numbers(y),
              testing::Pointwise(testing::DoubleNear(1e-6), std::array{-1.3416408, -0.4472136, 0.4472136, 1.3416408}));
}

TEST(OpValues, DropoutIsItsPublishedStream) {
  const RandomKey key = RandomKey::of(7, "test");
  const double probability = 0.3;
  const std::uint64_t first = 21;
  const Tensor y = ops::dropout(Tensor::full({1000}, 1), probability, key, first);
  const auto threshold = static_cast<std::uint32_t>(std::lround(probability * 65536));
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::uint64_t n = first + i;
    const auto block =
        philox({static_cast<std::uint32_t>(n / 8), static_cast<std::uint32_t>(n / 8 >> 32), 0x64726f70, 0},
               {static_cast<std::uint32_t>(key.value), static_cast<std::uint32_t>(key.value >> 32)});
    const std::uint32_t number = block[n % 8 / 2] >> (n % 2 * 16) & 0xFFFF;
    ASSERT_EQ(y.data<float>()[i], number >= threshold ? 1 / 0.7F : 0.0F) << i;
  }
}

TEST(OpValues, DropoutDoesNotDependOnTheCut) {
  const RandomKey key{99};
  const Tensor x = whole_numbers({3000}, 3) + 20.0;
  const Tensor whole = ops::dropout(x, 0.1, key, 5);
  EXPECT_EQ(numbers(ops::dropout(x.rows(1234, 1000), 0.1, key, 5 + 1234)), numbers(whole.rows(1234, 1000)));
  // 300 of 3000 expected; five standard deviations are 82.
  EXPECT_NEAR(std::ranges::count(numbers(whole), 0), 300, 82);
  EXPECT_EQ(ops::dropout(x, 0, key).raw(), x.raw());
  EXPECT_THAT([&] { ops::dropout(x, 1, key); }, ThrowsMessage<Error>(HasSubstr("probability 1")));
}

TEST(OpValues, RopeTurnsByThePositionsAngle) {
  const Tensor x = Tensor::from<double>({1, 2, 1, 4}, {1, 2, 3, 4, 1, 2, 3, 4});
  const double fast = 5;         // position 5 times 10000^0
  const double slow = 5 * 0.01;  // times 10000^(-2/4)
  const auto halves = numbers(ops::rope(x, {.first = 4}));
  EXPECT_NEAR(halves[4], std::cos(fast) - 3 * std::sin(fast), 1e-15);
  EXPECT_NEAR(halves[6], 3 * std::cos(fast) + std::sin(fast), 1e-15);
  EXPECT_NEAR(halves[5], 2 * std::cos(slow) - 4 * std::sin(slow), 1e-15);
  const auto neighbours = numbers(ops::rope(x, {.interleaved = true, .first = 4}));
  EXPECT_NEAR(neighbours[4], std::cos(fast) - 2 * std::sin(fast), 1e-15);
  EXPECT_NEAR(neighbours[7], 4 * std::cos(slow) + 3 * std::sin(slow), 1e-15);
  const Tensor rows = ops::rope(ops::reshape(x, {2, 1, 4}), Tensor::from<std::int32_t>({2}, {4, 5}), {});
  EXPECT_THAT(numbers(rows), ElementsAreArray(halves));
  // Far out, angles are still those of the double they are computed in.
  const Tensor far = ops::rope(Tensor::from<double>({1, 1, 1, 2}, {1, 0}), {.first = 1'000'000});
  EXPECT_NEAR(numbers(far)[0], std::cos(1e6), 1e-15);
}

TEST(OpValues, MessagesNameTheShapes) {
  const Tensor x = Tensor::zeros({2, 3});
  EXPECT_THAT([&] { x + Tensor::zeros({4}); }, ThrowsMessage<Error>(HasSubstr("[2, 3] and [4]")));
  EXPECT_THAT([&] { x + Tensor::zeros({3}, DType::f64); }, ThrowsMessage<Error>(HasSubstr("f32 and f64")));
  EXPECT_THAT([&] { ops::reshape(x, {4, -1}); }, ThrowsMessage<Error>(HasSubstr("[4, -1]")));
  EXPECT_THAT([&] { ops::permute(x, {0, 0}); }, ThrowsMessage<Error>(HasSubstr("[0, 0]")));
  EXPECT_THAT([&] { ops::slice(x, 1, 2, 4); }, ThrowsMessage<Error>(HasSubstr("[2, 4)")));
  EXPECT_THAT([&] { ops::exp(Tensor{}); }, ThrowsMessage<Error>(HasSubstr("exp")));
  EXPECT_THAT([&] { ops::exp(Tensor::zeros({1}, DType::i32)); }, ThrowsMessage<Error>(HasSubstr("i32")));
}

// Large enough for several threads.
TEST(OpValues, TheNumberOfThreadsChangesNothing) {
  const Tensor x = ops::sin(ops::cast(counting({1500, 131}), DType::f32));
  const Tensor weight = ops::cos(ops::cast(counting({131}), DType::f32));
  const Tensor indices = Tensor::from<std::int32_t>({1500}, [] {
    static std::vector<std::int32_t> values(1500);
    RandomStream stream(RandomKey{5});
    for (auto& value : values) value = static_cast<std::int32_t>(stream.below(300));
    return std::span<const std::int32_t>(values);
  }());
  const auto results = [&] {
    const Tensor a = x.variable();
    const Tensor w = weight.variable();
    const Tensor normal = ops::layer_norm(a, w, w, 1e-5);
    const Tensor parts[] = {ops::sum(normal),
                            ops::sum(normal, 0),
                            ops::softmax(ops::rms_norm(normal, w, 1e-6)),
                            ops::log_softmax(a * w),
                            ops::scatter_add_rows(a, indices, 300),
                            ops::transpose(ops::silu(a)),
                            ops::cumsum(a, 0),
                            ops::dropout(a, 0.2, RandomKey{3})};
    Tensor total = Tensor::scalar(0);
    std::vector<double> values;
    for (const Tensor& part : parts) {
      total = total + ops::mean(ops::square(part));
      const auto some = numbers(part);
      values.insert(values.end(), some.begin(), some.end());
    }
    for (const Tensor& gradient : grad(total, std::array{a, w})) {
      const auto some = numbers(gradient);
      values.insert(values.end(), some.begin(), some.end());
    }
    return values;
  };
  const int before = threads();
  set_threads(1);
  const auto one = results();
  for (const int count : {2, 3}) {
    set_threads(count);
    EXPECT_TRUE(results() == one) << count << " threads";
  }
  set_threads(before);
}

}  // namespace
}  // namespace zoo
