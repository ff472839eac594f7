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

std::vector<float> on_device(const cpu::MatmulShape& shape, const Operands& in) {
  Stream stream;
  const auto copied = [&](const std::vector<float>& values) { return to_device(std::span(values), stream); };
  const DeviceBuffer<float> a = copied(in.a), b = copied(in.b), bias = copied(in.bias);
  DeviceBuffer<float> c = copied(in.c);
  matmul_tiled(shape, a.data(), b.data(), bias.data(), c.data(), stream);
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
