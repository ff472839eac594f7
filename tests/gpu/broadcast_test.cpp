#include "zoo/gpu/broadcast.h"

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

using cpu::Binary;
using cpu::broadcast_strides;

std::vector<float> binary_of(Binary kind, const Shape& shape, const Shape& a_shape, const std::vector<float>& a,
                             const Shape& b_shape, const std::vector<float>& b) {
  Stream stream;
  const DeviceBuffer<float> device_a = to_device(std::span(a), stream), device_b = to_device(std::span(b), stream);
  DeviceBuffer<float> y(static_cast<std::size_t>(shape.size()));
  const cpu::StridedLoops<2> loops(shape, {broadcast_strides(a_shape, shape), broadcast_strides(b_shape, shape)});
  binary(kind, shape.size(), loops, device_a.data(), device_b.data(), y.data(), stream);
  return to_host(y, stream);
}

TEST(Broadcast, EveryFunctionOfEqualShapes) {
  const std::vector<float> a = {1, -2, 3, 0.5F}, b = {2, 4, -1, 0.5F};
  const auto of = [&](Binary kind) { return binary_of(kind, {4}, {4}, a, {4}, b); };
  using testing::ElementsAre;
  EXPECT_THAT(of(Binary::add), ElementsAre(3, 2, 2, 1));
  EXPECT_THAT(of(Binary::sub), ElementsAre(-1, -6, 4, 0));
  EXPECT_THAT(of(Binary::mul), ElementsAre(2, -8, -3, 0.25F));
  EXPECT_THAT(of(Binary::div), ElementsAre(0.5F, -0.5F, -3, 1));
  EXPECT_THAT(of(Binary::maximum), ElementsAre(2, 4, 3, 0.5F));
  EXPECT_THAT(of(Binary::minimum), ElementsAre(1, -2, -1, 0.5F));
  EXPECT_THAT(of(Binary::greater), ElementsAre(0, 0, 1, 0));
}

TEST(Broadcast, NaNInEitherOperandIsTheLargestAndTheSmallest) {
  const float nan = std::nanf("");
  for (const Binary kind : {Binary::maximum, Binary::minimum}) {
    for (const float y : binary_of(kind, {2}, {2}, {nan, 1}, {2}, {1, nan})) EXPECT_TRUE(std::isnan(y));
  }
}

TEST(Broadcast, RepeatsAlongMissingAxes) {
  const Shape shape = {3, 5, 130};
  const std::vector<float> a = normal_numbers(5 * 130, 1), b = normal_numbers(3, 2);
  const std::vector<float> y = binary_of(Binary::sub, shape, {5, 130}, a, {3, 1, 1}, b);
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], a[i % a.size()] - b[i / a.size()]) << i;
}

TEST(Broadcast, ChoosesByACondition) {
  Stream stream;
  const std::vector<float> condition = {0, 1, -1}, a = {1, 2, 3}, b = {9};
  const DeviceBuffer<float> device_condition = to_device(std::span(condition), stream);
  const DeviceBuffer<float> device_a = to_device(std::span(a), stream), device_b = to_device(std::span(b), stream);
  DeviceBuffer<float> y(3);
  const Shape shape = {3};
  const cpu::StridedLoops<3> loops(
      shape, {broadcast_strides(shape, shape), broadcast_strides(shape, shape), broadcast_strides({1}, shape)});
  where(3, loops, device_condition.data(), device_a.data(), device_b.data(), y.data(), stream);
  EXPECT_THAT(to_host(y, stream), testing::ElementsAre(9, 2, 3));
}

TEST(Broadcast, AccumulatesInPlace) {
  Stream stream;
  const std::vector<float> first = normal_numbers(1100, 1), term = normal_numbers(1100, 2);
  DeviceBuffer<float> into = to_device(std::span(first), stream);
  const DeviceBuffer<float> device_term = to_device(std::span(term), stream);
  accumulate(into.data(), device_term.data(), 1100, stream);
  const std::vector<float> sum = to_host(into, stream);
  for (std::size_t i = 0; i < sum.size(); ++i) ASSERT_EQ(sum[i], first[i] + term[i]) << i;
}

}  // namespace
}  // namespace zoo::gpu
