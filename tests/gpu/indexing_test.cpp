#include "zoo/gpu/indexing.h"

#include "gpu_testing.h"
#include "zoo/gpu/shape.h"

namespace zoo::gpu {
namespace {

using testing::ElementsAre;

template <typename T>
DeviceBuffer<T> copied(const std::vector<T>& values, Stream& stream) {
  return to_device(std::span(values), stream);
}

TEST(Indexing, GathersRows) {
  Stream stream;
  const auto x = copied<std::uint32_t>({10, 11, 20, 21, 30, 31}, stream);
  const auto indices = copied<std::int32_t>({2, 0, 2}, stream);
  DeviceBuffer<std::uint32_t> y(6);
  gather_rows(x.data(), 2, indices.data(), 3, y.data(), stream);
  EXPECT_THAT(to_host(y, stream), ElementsAre(30, 31, 10, 11, 30, 31));
  gather_rows(x.data(), 2, indices.data(), 0, y.data(), stream);
}

TEST(Indexing, AddsListedRowsInTheirOrder) {
  Stream stream;
  // In another order 1 would be lost beside 2^25.
  const auto x = copied<float>({1, 10, 0x1p25F, 20, -0x1p25F, 30}, stream);
  const auto starts = copied<std::int32_t>({0, 3, 3, 4}, stream);
  const auto order = copied<std::int32_t>({1, 2, 0, 2}, stream);
  DeviceBuffer<float> y(6);
  sum_listed_rows(x.data(), 2, starts.data(), order.data(), y.data(), 3, stream);
  EXPECT_THAT(to_host(y, stream), ElementsAre(1, 60, 0, 0, -0x1p25F, 30));
}

TEST(Shape, CopiesAsTheStridesSay) {
  Stream stream;
  std::vector<std::uint32_t> values(6 * 35);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint32_t>(i);
  const auto x = copied(values, stream);
  DeviceBuffer<std::uint32_t> y(values.size());
  const cpu::StridedLoops<1> transposed({35, 6}, {cpu::Strides{1, 35}});
  copy_strided(6 * 35, transposed, x.data(), y.data(), stream);
  const std::vector<std::uint32_t> result = to_host(y, stream);
  for (std::size_t i = 0; i < result.size(); ++i) ASSERT_EQ(result[i], i % 6 * 35 + i / 6) << i;
}

TEST(Shape, CopiesRuns) {
  Stream stream;
  const auto from = copied<std::uint32_t>({1, 2, 3, 4, 5, 6}, stream);
  auto to = copied<std::uint32_t>({0, 0, 0, 0, 0, 0, 0, 0}, stream);
  copy_runs(from.data() + 1, 3, to.data() + 1, 4, 2, 2, stream);
  EXPECT_THAT(to_host(to, stream), ElementsAre(0, 2, 3, 0, 0, 5, 6, 0));
  copy_runs(from.data(), 3, to.data(), 4, 0, 2, stream);
}

}  // namespace
}  // namespace zoo::gpu
