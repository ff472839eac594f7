// Long convolutions by Fourier transforms.
#include "zoo/gpu/long_conv_fft.h"

#include "gpu_testing.h"
#include "long_conv_model.h"
#include "zoo/gpu/long_conv.h"

namespace zoo::gpu {
namespace {

using testing::HasSubstr;

// `in.filter` may have more taps than there are steps.
LongConvResults<float> by_fft(const cpu::LongConvSizes& sizes, const LongConvNumbers& in, std::int64_t most_floats) {
  Stream stream;
  const DeviceBuffer<float> x = to_device(std::span(in.x), stream), filter = to_device(std::span(in.filter), stream);
  const DeviceBuffer<float> dy = to_device(std::span(in.dy), stream);
  const auto taps = static_cast<std::size_t>(sizes.length * sizes.channels);
  DeviceBuffer<float> y(in.x.size()), dx(in.x.size()), dx_alone(in.x.size()), dfilter(taps), dfilter_alone(taps);
  const LongConvBlocks forward = long_conv_blocks(sizes, false, most_floats);
  const LongConvBlocks backward = long_conv_blocks(sizes, true, most_floats);
  DeviceBuffer<float> workspace(static_cast<std::size_t>(long_conv_fft_workspace(sizes, forward, false)));
  long_conv_fft_forward(sizes, forward, x.data(), filter.data(), y.data(), workspace.data(), stream);
  const auto gradients = [&](float* of_x, float* of_filter) {
    DeviceBuffer<float> fresh(static_cast<std::size_t>(long_conv_fft_workspace(sizes, backward, true)));
    long_conv_fft_backward(sizes, backward, x.data(), filter.data(), dy.data(), of_x, of_filter, fresh.data(), stream);
  };
  gradients(dx.data(), dfilter.data());
  gradients(dx_alone.data(), nullptr);
  gradients(nullptr, dfilter_alone.data());
  LongConvResults<float> results = {to_host(y, stream), to_host(dx, stream), to_host(dfilter, stream)};
  EXPECT_EQ(to_host(dx_alone, stream), results.dx);
  EXPECT_EQ(to_host(dfilter_alone, stream), results.dfilter);
  return results;
}

// Lengths that are odd, prime, powers of two, one beside them; fewer channels than a tile of 32, as many, and more.
constexpr cpu::LongConvSizes cases[] = {{1, 1, 1},  {2, 2, 3},   {3, 5, 2},   {2, 16, 33},  {1, 31, 32}, {5, 33, 2},
                                        {2, 97, 3}, {1, 128, 2}, {3, 150, 2}, {1, 1021, 1}, {1, 2048, 1}};
constexpr std::int64_t no_limit = 1 << 30;

// Each of the three transforms errs by some 0.6 log2(N)^(1/2) 2^-24 of its numbers, root mean square (their bound,
// fft.h, is 1e-5 for three of N = 4096, which nothing comes near), products by 2^-24: together 2e-7 for N = 4096.
constexpr double tolerance = 4e-7;

void expect_definition(const cpu::LongConvSizes& sizes, std::int64_t most_floats) {
  const LongConvNumbers inputs = random_long_conv(sizes);
  const LongConvResults<double> expected = plain_long_conv(sizes, inputs);
  const LongConvResults<float> results = by_fft(sizes, inputs, most_floats);
  EXPECT_LT(relative_error(results.y, expected.y), tolerance) << sizes.length;
  EXPECT_LT(relative_error(results.dx, expected.dx), tolerance) << sizes.length;
  EXPECT_LT(relative_error(results.dfilter, expected.dfilter), tolerance) << sizes.length;
}

TEST(LongConvFft, IsTheDefinition) {
  for (const cpu::LongConvSizes& sizes : cases) expect_definition(sizes, no_limit);
}

TEST(LongConvFft, IsTheDefinitionInBlocks) {
  // A channel of a sequence at a time; and channels and sequences in parts that leave a rest.
  for (const cpu::LongConvSizes& sizes : cases) expect_definition(sizes, 1);
  const cpu::LongConvSizes sizes = {5, 9, 70};
  const LongConvBlocks forward = long_conv_blocks(sizes, false, 100 * 34);
  EXPECT_EQ(forward.length, 32);
  EXPECT_EQ(forward.sequences, 2);
  EXPECT_EQ(forward.channels, 32);
  const LongConvBlocks backward = long_conv_blocks(sizes, true, 200 * 34);
  EXPECT_EQ(backward.sequences, 2);
  EXPECT_EQ(backward.channels, 32);
  expect_definition(sizes, 100 * 34);
  expect_definition(sizes, 200 * 34);
}

TEST(LongConvFft, TapsBeyondTheSequenceMeetNothing) {
  const cpu::LongConvSizes sizes = {2, 20, 3};
  LongConvNumbers inputs = random_long_conv(sizes);
  const LongConvResults<float> results = by_fft(sizes, inputs, no_limit);
  inputs.filter.resize(2 * inputs.filter.size(), 1e30F);
  const LongConvResults<float> with_more = by_fft(sizes, inputs, no_limit);
  EXPECT_EQ(with_more.y, results.y);
  EXPECT_EQ(with_more.dx, results.dx);
  EXPECT_EQ(with_more.dfilter, results.dfilter);
}

// Of a large last input nothing reaches the outputs before, of a large first gradient nothing the inputs behind it, but
// for roundings: what came round the padding's end would be as large as they are.
TEST(LongConvFft, NothingComesRound) {
  for (const std::int64_t length : {2, 3, 17, 64, 65}) {
    const cpu::LongConvSizes sizes = {1, length, 1};
    const auto count = static_cast<std::size_t>(length);
    LongConvNumbers inputs = {std::vector<float>(count), std::vector<float>(count, 1), std::vector<float>(count)};
    inputs.x.back() = 1e6F;
    inputs.dy.front() = 1e6F;
    const LongConvResults<float> results = by_fft(sizes, inputs, no_limit);
    for (std::size_t t = 0; t + 1 < count; ++t) {
      EXPECT_LT(std::abs(results.y[t]), 1) << t << " of " << length;
      EXPECT_LT(std::abs(results.dx[t + 1]), 1) << t << " of " << length;
    }
    EXPECT_NEAR(results.y.back(), 1e6, 1);
    EXPECT_NEAR(results.dx.front(), 1e6, 1);
  }
}

TEST(LongConvFft, RepeatsBitForBitInEveryOrder) {
  const cpu::LongConvSizes sizes = {2, 70, 33};
  const LongConvNumbers inputs = random_long_conv(sizes);
  set_schedule_seed(1);
  const LongConvResults<float> first = by_fft(sizes, inputs, no_limit);
  set_schedule_seed(2);
  const LongConvResults<float> second = by_fft(sizes, inputs, no_limit);
  EXPECT_EQ(first.y, second.y);
  EXPECT_EQ(first.dx, second.dx);
  EXPECT_EQ(first.dfilter, second.dfilter);
}

// Counted by hand for one channel of one sequence of 4 steps, N = 8: three transforms of 2.5 8 3 FLOPs and 5 products
// of 6; 4 + 8 floats of the filter to its row and 16 transformed, 4 + 8 of the sequence, 16, 24 multiplied, 16, and 4 +
// 4 back.
TEST(LongConvFft, Cost) {
  const LongConvCost cost = long_conv_fft_cost({1, 4, 1});
  EXPECT_EQ(cost.flops, 3 * 60 + 30);
  EXPECT_EQ(cost.bytes, 4 * (28 + 12 + 16 + 24 + 16 + 8));
  const LongConvCost definition = long_conv_definition_cost({1, 4, 1});
  EXPECT_EQ(definition.flops, 2 * (1 + 2 + 3 + 4));
  EXPECT_EQ(definition.bytes, 4 * 12);
}

// FLOPs alone are fewer from a hundred steps on; what transforms move is worth more until some thousands.
TEST(LongConvFft, TakesOverWhereItDoesLess) {
  const auto fewer_flops = [](std::int64_t length) {
    return long_conv_fft_cost({4, length, 8}).flops < long_conv_definition_cost({4, length, 8}).flops;
  };
  EXPECT_FALSE(fewer_flops(64));
  EXPECT_TRUE(fewer_flops(128));
  for (const std::int64_t length : {1, 128, 1024, 1827, 2049, 2527})
    EXPECT_FALSE(long_conv_by_fft({4, length, 8})) << length;
  for (const std::int64_t length : {1828, 2048, 2528, 4096, 4097, 65536})
    EXPECT_TRUE(long_conv_by_fft({4, length, 8})) << length;
  EXPECT_FALSE(long_conv_by_fft({0, 4096, 8}));
}

// Through the functions that choose: at 2,048 steps, transforms.
TEST(LongConvFft, IsTakenByLongConv) {
  const cpu::LongConvSizes sizes = {2, 2048, 1};
  const LongConvNumbers in = random_long_conv(sizes);
  const LongConvResults<float> expected = by_fft(sizes, in, long_conv_most_floats());
  Stream stream;
  const DeviceBuffer<float> x = to_device(std::span(in.x), stream), filter = to_device(std::span(in.filter), stream);
  const DeviceBuffer<float> dy = to_device(std::span(in.dy), stream);
  DeviceBuffer<float> y(in.x.size()), dx(in.x.size()), dfilter(in.filter.size());
  DeviceBuffer<float> forward(static_cast<std::size_t>(long_conv_workspace(sizes, false)));
  DeviceBuffer<float> backward(static_cast<std::size_t>(long_conv_workspace(sizes, true)));
  long_conv_forward(sizes, x.data(), filter.data(), y.data(), forward.data(), stream);
  long_conv_backward(sizes, x.data(), filter.data(), dy.data(), dx.data(), dfilter.data(), backward.data(), stream);
  EXPECT_EQ(to_host(y, stream), expected.y);
  EXPECT_EQ(to_host(dx, stream), expected.dx);
  EXPECT_EQ(to_host(dfilter, stream), expected.dfilter);
  EXPECT_EQ(long_conv_workspace({2, 70, 1}, false), 0);
}

TEST(LongConvFft, RefusesSizesThatItCannotCount) {
  EXPECT_THAT(error_of([] {
                long_conv_blocks({1, std::int64_t{1} << 30, 1}, false, no_limit);
              }),
              HasSubstr("long_conv on the GPU: length is 1073741824; it must be at most 536870912"));
}

}  // namespace
}  // namespace zoo::gpu
