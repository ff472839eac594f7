#include <cmath>

#include "gpu_testing.h"
#include "numbers.h"
#include "zoo/gpu/matmul.h"

namespace zoo::gpu {
namespace {

struct Operands {
  std::vector<float> a, b, bias, c;
};

Operands random_operands(const cpu::MatmulShape& shape) {
  return {normal_numbers(shape.batch * shape.m * shape.k, 1), normal_numbers(shape.batch * shape.k * shape.n, 2),
          normal_numbers(shape.bias ? shape.n : 0, 3), normal_numbers(shape.batch * shape.m * shape.n, 4)};
}

std::vector<double> plain(const cpu::MatmulShape& shape, const Operands& in) {
  const auto [batch, m, n, k, transpose_a, transpose_b, bias, accumulate] = shape;
  std::vector<double> c(in.c.size());
  for (std::int64_t i = 0; i < batch * m * n; ++i) {
    const std::int64_t part = i / (m * n), row = i / n % m, column = i % n;
    double sum =
        (bias ? in.bias[static_cast<std::size_t>(column)] : 0) + (accumulate ? in.c[static_cast<std::size_t>(i)] : 0);
    for (std::int64_t p = 0; p < k; ++p) {
      const std::int64_t of_a = transpose_a ? p * m + row : row * k + p;
      const std::int64_t of_b = transpose_b ? column * k + p : p * n + column;
      sum += double{in.a[static_cast<std::size_t>(part * m * k + of_a)]} *
             in.b[static_cast<std::size_t>(part * k * n + of_b)];
    }
    c[static_cast<std::size_t>(i)] = sum;
  }
  return c;
}

std::vector<float> on_device(const cpu::MatmulShape& shape, const Operands& in,
                             Precision precision = Precision::float32) {
  Stream stream;
  const auto copied = [&](const std::vector<float>& values) { return to_device(std::span(values), stream); };
  const DeviceBuffer<float> a = copied(in.a), b = copied(in.b), bias = copied(in.bias);
  DeviceBuffer<float> c = copied(in.c);
  matmul_tiled(shape, a.data(), b.data(), bias.data(), c.data(), precision, stream);
  return to_host(c, stream);
}

// Two roundings of 2^-25 on the average for each of at most 70 terms, in sequence: their root grows as that of the
// number, below 10 roundings in all.
TEST(MatmulTiled, IsTheDefinition) {
  for (const cpu::MatmulShape& shape :
       {cpu::MatmulShape{1, 5, 7, 3}, cpu::MatmulShape{1, 33, 65, 70, true},
        cpu::MatmulShape{1, 64, 32, 32, false, true}, cpu::MatmulShape{3, 31, 33, 34, true, true},
        cpu::MatmulShape{1, 40, 50, 9, false, true, true}, cpu::MatmulShape{2, 9, 40, 64, false, false, false, true},
        cpu::MatmulShape{1, 3, 4, 0, false, false, true}}) {
    const Operands in = random_operands(shape);
    EXPECT_LT(relative_error(on_device(shape, in), plain(shape, in)), 6e-7)
        << shape.m << " x " << shape.n << " x " << shape.k;
  }
}

// To `bits` of mantissa: TF32's ties go away from zero, bfloat16's to the even neighbour.
float rounded(float x, int bits, bool ties_to_even) {
  int exponent = 0;
  const double fraction = std::ldexp(std::frexp(x, &exponent), bits + 1);
  return static_cast<float>(
      std::ldexp(ties_to_even ? std::nearbyint(fraction) : std::round(fraction), exponent - bits - 1));
}

// Bit for bit: what is rounded is the operands alone, neither bias nor what the product is added to.
TEST(MatmulTiled, IsTheProductOfRoundedOperands) {
  for (const cpu::MatmulShape& shape :
       {cpu::MatmulShape{1, 33, 65, 70, true}, cpu::MatmulShape{3, 31, 33, 34, true, true},
        cpu::MatmulShape{1, 40, 50, 9, false, true, true}, cpu::MatmulShape{2, 9, 40, 64, false, false, false, true}}) {
    const Operands in = random_operands(shape);
    for (const auto& [precision, bits] : {std::pair{Precision::tf32, 10}, std::pair{Precision::bf16, 7}}) {
      Operands less = in;
      for (std::vector<float>* operand : {&less.a, &less.b}) {
        for (float& value : *operand) value = rounded(value, bits, precision == Precision::bf16);
      }
      EXPECT_EQ(on_device(shape, in, precision), on_device(shape, less));
    }
  }
}

// Rounding to p bits errs by a relative 2^-(p+1) at most, evenly spread below a step that is on average 0.72 of the
// number: 2^-(p+1) * 0.72 / sqrt(3) root mean square, and sqrt(2) of it for a product, and for a sum of k of them,
// since errors and terms add up alike.
TEST(MatmulTiled, ErrsAsItsPrecisionDoes) {
  const cpu::MatmulShape shape{1, 64, 32, 96};
  const Operands in = random_operands(shape);
  for (const auto& [precision, bits] : {std::pair{Precision::tf32, 10}, std::pair{Precision::bf16, 7}}) {
    const double expected = std::ldexp(1.0, -bits - 1) * 0.72 / std::sqrt(3.0) * std::sqrt(2.0);
    const double error = relative_error(on_device(shape, in, precision), plain(shape, in));
    EXPECT_LT(error, 1.3 * expected);
    EXPECT_GT(error, 0.7 * expected) << "more exact than its format";
  }
}

TEST(MatmulTiled, EmptyProductsTouchNothing) {
  EXPECT_THAT(on_device({1, 2, 2, 0}, {{}, {}, {}, {1, 2, 3, 4}}), testing::Each(0.0F));
  EXPECT_TRUE(on_device({0, 2, 2, 3}, {}).empty());
  EXPECT_TRUE(on_device({1, 0, 2, 3}, random_operands({1, 0, 2, 3})).empty());
}

TEST(MatmulTiled, RepeatsBitForBitInEveryOrder) {
  const cpu::MatmulShape shape = {1, 70, 40, 100};
  const Operands in = random_operands(shape);
  set_schedule_seed(1);
  const std::vector<float> first = on_device(shape, in);
  set_schedule_seed(2);
  EXPECT_EQ(on_device(shape, in), first);
}

}  // namespace
}  // namespace zoo::gpu
