#include "zoo/gpu/long_conv.h"

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

using cpu::LongConvSizes;
using testing::HasSubstr;

struct Inputs {
  std::vector<float> x, filter, dy;
};

template <typename T>
struct Results {
  std::vector<T> y, dx, dfilter;
};

Inputs random_inputs(const LongConvSizes& sizes) {
  const std::int64_t count = sizes.batch * sizes.length * sizes.channels;
  return {normal_numbers(count, 1), normal_numbers(sizes.length * sizes.channels, 2), normal_numbers(count, 3)};
}

Results<double> plain(const LongConvSizes& sizes, const Inputs& in) {
  Results<double> out = {std::vector<double>(in.x.size()), std::vector<double>(in.x.size()),
                         std::vector<double>(in.filter.size())};
  for (std::int64_t b = 0; b < sizes.batch; ++b) {
    for (std::int64_t t = 0; t < sizes.length; ++t) {
      for (std::int64_t lag = 0; lag <= t; ++lag) {
        for (std::int64_t c = 0; c < sizes.channels; ++c) {
          const std::int64_t at_y = (b * sizes.length + t) * sizes.channels + c;
          const std::int64_t at_x = at_y - lag * sizes.channels;
          const std::int64_t tap = lag * sizes.channels + c;
          out.y[at_y] += double{in.filter[tap]} * in.x[at_x];
          out.dx[at_x] += double{in.filter[tap]} * in.dy[at_y];
          out.dfilter[tap] += double{in.x[at_x]} * in.dy[at_y];
        }
      }
    }
  }
  return out;
}

Results<float> on_device(const LongConvSizes& sizes, const Inputs& in) {
  Stream stream;
  const DeviceBuffer<float> x = to_device(std::span(in.x), stream), filter = to_device(std::span(in.filter), stream);
  const DeviceBuffer<float> dy = to_device(std::span(in.dy), stream);
  DeviceBuffer<float> y(in.x.size()), dx(in.x.size()), dfilter(in.filter.size());
  long_conv_forward(sizes, x.data(), filter.data(), y.data(), stream);
  long_conv_backward(sizes, x.data(), filter.data(), dy.data(), dx.data(), nullptr, stream);
  long_conv_backward(sizes, x.data(), filter.data(), dy.data(), nullptr, dfilter.data(), stream);
  return {to_host(y, stream), to_host(dx, stream), to_host(dfilter, stream)};
}

// Lengths of less than a tile of 16, a whole one, several blocks of 64 with a rest; channels of less and more than a
// warp.
constexpr LongConvSizes cases[] = {{1, 1, 1}, {2, 5, 3}, {2, 16, 33}, {3, 70, 2}, {1, 150, 2}};

// n products added one by one err by sqrt(n) 2^-25 of their sum at most, root mean square: 3.7e-7 for 150.
TEST(LongConv, IsTheDefinition) {
  for (const LongConvSizes& sizes : cases) {
    const Inputs inputs = random_inputs(sizes);
    const Results<double> expected = plain(sizes, inputs);
    const Results<float> results = on_device(sizes, inputs);
    EXPECT_LT(relative_error(results.y, expected.y), 4e-7) << sizes.length;
    EXPECT_LT(relative_error(results.dx, expected.dx), 4e-7) << sizes.length;
    EXPECT_LT(relative_error(results.dfilter, expected.dfilter), 4e-7) << sizes.length;
  }
}

TEST(LongConv, SumsOfSmallWholeNumbersAreExact) {
  for (const LongConvSizes& sizes : cases) {
    Inputs inputs = random_inputs(sizes);
    for (std::vector<float>* values : {&inputs.x, &inputs.filter, &inputs.dy}) {
      for (float& value : *values) value = std::round(value);
    }
    const Results<double> expected = plain(sizes, inputs);
    const Results<float> results = on_device(sizes, inputs);
    EXPECT_EQ(relative_error(results.y, expected.y), 0) << sizes.length;
    EXPECT_EQ(relative_error(results.dx, expected.dx), 0) << sizes.length;
    EXPECT_EQ(relative_error(results.dfilter, expected.dfilter), 0) << sizes.length;
  }
}

TEST(LongConv, RepeatsBitForBitInEveryOrder) {
  const LongConvSizes sizes = {2, 70, 33};
  const Inputs inputs = random_inputs(sizes);
  set_schedule_seed(1);
  const Results<float> first = on_device(sizes, inputs);
  set_schedule_seed(2);
  const Results<float> second = on_device(sizes, inputs);
  EXPECT_EQ(first.y, second.y);
  EXPECT_EQ(first.dx, second.dx);
  EXPECT_EQ(first.dfilter, second.dfilter);
}

TEST(LongConv, RefusesSizesThatItCannotCount) {
  Stream stream;
  EXPECT_THAT(error_of([&] {
                long_conv_forward({1, -1, 1}, nullptr, nullptr, nullptr, stream);
              }),
              HasSubstr("long_conv on the GPU: length is -1; it must be from 0 to 2147483647"));
}

}  // namespace
}  // namespace zoo::gpu
