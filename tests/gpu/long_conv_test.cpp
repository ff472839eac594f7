#include "zoo/gpu/long_conv.h"

#include "gpu_testing.h"
#include "long_conv_model.h"

namespace zoo::gpu {
namespace {

using testing::HasSubstr;

LongConvResults<float> on_device(const cpu::LongConvSizes& sizes, const LongConvNumbers& in) {
  Stream stream;
  const DeviceBuffer<float> x = to_device(std::span(in.x), stream), filter = to_device(std::span(in.filter), stream);
  const DeviceBuffer<float> dy = to_device(std::span(in.dy), stream);
  DeviceBuffer<float> y(in.x.size()), dx(in.x.size()), dfilter(in.filter.size());
  long_conv_definition_forward(sizes, x.data(), filter.data(), y.data(), stream);
  long_conv_definition_backward(sizes, x.data(), filter.data(), dy.data(), dx.data(), nullptr, stream);
  long_conv_definition_backward(sizes, x.data(), filter.data(), dy.data(), nullptr, dfilter.data(), stream);
  return {to_host(y, stream), to_host(dx, stream), to_host(dfilter, stream)};
}

// Lengths of less than a tile of 16, a whole one, several blocks of 64 with a rest; channels of less and more than a
// warp.
constexpr cpu::LongConvSizes cases[] = {{1, 1, 1}, {2, 5, 3}, {2, 16, 33}, {3, 70, 2}, {1, 150, 2}};

// n products added one by one err by sqrt(n) 2^-25 of their sum at most, root mean square: 3.7e-7 for 150.
TEST(LongConv, IsTheDefinition) {
  for (const cpu::LongConvSizes& sizes : cases) {
    const LongConvNumbers inputs = random_long_conv(sizes);
    const LongConvResults<double> expected = plain_long_conv(sizes, inputs);
    const LongConvResults<float> results = on_device(sizes, inputs);
    EXPECT_LT(relative_error(results.y, expected.y), 4e-7) << sizes.length;
    EXPECT_LT(relative_error(results.dx, expected.dx), 4e-7) << sizes.length;
    EXPECT_LT(relative_error(results.dfilter, expected.dfilter), 4e-7) << sizes.length;
  }
}

TEST(LongConv, SumsOfSmallWholeNumbersAreExact) {
  for (const cpu::LongConvSizes& sizes : cases) {
    LongConvNumbers inputs = random_long_conv(sizes);
    for (std::vector<float>* values : {&inputs.x, &inputs.filter, &inputs.dy}) {
      for (float& value : *values) value = std::round(value);
    }
    const LongConvResults<double> expected = plain_long_conv(sizes, inputs);
    const LongConvResults<float> results = on_device(sizes, inputs);
    EXPECT_EQ(relative_error(results.y, expected.y), 0) << sizes.length;
    EXPECT_EQ(relative_error(results.dx, expected.dx), 0) << sizes.length;
    EXPECT_EQ(relative_error(results.dfilter, expected.dfilter), 0) << sizes.length;
  }
}

TEST(LongConv, RepeatsBitForBitInEveryOrder) {
  const cpu::LongConvSizes sizes = {2, 70, 33};
  const LongConvNumbers inputs = random_long_conv(sizes);
  set_schedule_seed(1);
  const LongConvResults<float> first = on_device(sizes, inputs);
  set_schedule_seed(2);
  const LongConvResults<float> second = on_device(sizes, inputs);
  EXPECT_EQ(first.y, second.y);
  EXPECT_EQ(first.dx, second.dx);
  EXPECT_EQ(first.dfilter, second.dfilter);
}

TEST(LongConv, RefusesSizesThatItCannotCount) {
  Stream stream;
  EXPECT_THAT(error_of([&] {
                long_conv_definition_forward({1, -1, 1}, nullptr, nullptr, nullptr, stream);
              }),
              HasSubstr("long_conv on the GPU: length is -1; it must be from 0 to 2147483647"));
}

}  // namespace
}  // namespace zoo::gpu
