#include "zoo/gpu/causal_conv.h"

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

using cpu::CausalConvSizes;
using testing::AllOf;
using testing::HasSubstr;

struct Inputs {
  std::vector<float> x, weight, bias, state, dy, dnext;
};

template <typename T>
struct Results {
  std::vector<T> y, dx, dweight, dbias, dstate;
};

Inputs random_inputs(const CausalConvSizes& sizes) {
  const std::int64_t count = sizes.batch * sizes.length * sizes.channels;
  const std::int64_t of_state = sizes.batch * (sizes.kernel - 1) * sizes.channels;
  return {normal_numbers(count, 1),          normal_numbers(sizes.channels * sizes.kernel, 2),
          normal_numbers(sizes.channels, 3), normal_numbers(of_state, 4),
          normal_numbers(count, 5),          normal_numbers(of_state, 6)};
}

Results<double> plain(const CausalConvSizes& sizes, const Inputs& in) {
  const std::int64_t past = sizes.kernel - 1;
  Results<double> out;
  out.y.resize(in.x.size());
  out.dx.resize(in.x.size());
  out.dweight.resize(in.weight.size());
  out.dbias.resize(in.bias.size());
  out.dstate.resize(in.state.size());
  for (std::int64_t i = 0; i < sizes.batch * sizes.channels; ++i) {
    const std::int64_t sequence = i / sizes.channels;
    const std::int64_t c = i % sizes.channels;
    // Of state and x together.
    const auto at = [&](auto& state, auto& x, std::int64_t row) -> auto& {
      return row < past ? state[(sequence * past + row) * sizes.channels + c]
                        : x[(sequence * sizes.length + row - past) * sizes.channels + c];
    };
    for (std::int64_t row = 0; row < past; ++row)
      at(out.dstate, out.dx, sizes.length + row) += in.dnext[(sequence * past + row) * sizes.channels + c];
    for (std::int64_t t = 0; t < sizes.length; ++t) {
      const std::int64_t of_y = (sequence * sizes.length + t) * sizes.channels + c;
      double sum = in.bias[c];
      for (std::int64_t tap = 0; tap < sizes.kernel; ++tap)
        sum += double{in.weight[c * sizes.kernel + tap]} * at(in.state, in.x, t + tap);
      const double sigmoid = 1 / (1 + std::exp(-sum));
      out.y[of_y] = sizes.silu ? sum * sigmoid : sum;
      const double gradient = in.dy[of_y] * (sizes.silu ? sigmoid * (1 + sum * (1 - sigmoid)) : 1);
      out.dbias[c] += gradient;
      for (std::int64_t tap = 0; tap < sizes.kernel; ++tap) {
        out.dweight[c * sizes.kernel + tap] += gradient * at(in.state, in.x, t + tap);
        at(out.dstate, out.dx, t + tap) += gradient * in.weight[c * sizes.kernel + tap];
      }
    }
  }
  return out;
}

// The channels [first, first + count) of rows of `channels`, and back.
std::vector<float> columns(const std::vector<float>& rows, std::int64_t channels, std::int64_t first,
                           std::int64_t count) {
  std::vector<float> result;
  for (std::size_t row = 0; row < rows.size(); row += channels)
    result.insert(result.end(), rows.begin() + row + first, rows.begin() + row + first + count);
  return result;
}

// The outputs in two parts, of which the first has `first` channels.
Results<float> on_device(const CausalConvSizes& sizes, const Inputs& in, std::int64_t first = 0) {
  Stream stream;
  const auto copied = [&](const std::vector<float>& values) { return to_device(std::span(values), stream); };
  const DeviceBuffer<float> x = copied(in.x), weight = copied(in.weight), bias = copied(in.bias);
  const DeviceBuffer<float> state = copied(in.state), dnext = copied(in.dnext);
  const std::int64_t second = sizes.channels - first;
  const DeviceBuffer<float> dy_first = copied(columns(in.dy, sizes.channels, 0, first));
  const DeviceBuffer<float> dy_second = copied(columns(in.dy, sizes.channels, first, second));
  DeviceBuffer<float> y_first(dy_first.size()), y_second(dy_second.size());
  DeviceBuffer<float> dx(in.x.size()), dweight(in.weight.size()), dbias(in.bias.size()), dstate(in.state.size());
  DeviceBuffer<float> scratch(static_cast<std::size_t>(causal_conv_backward_scratch(sizes)));
  const cpu::CausalConvInputs<float> inputs = {x.data(), weight.data(), bias.data(), state.data()};
  const cpu::CausalConvPart<float> y[] = {{first, y_first.data()}, {second, y_second.data()}};
  const cpu::CausalConvPart<const float> dy[] = {{first, dy_first.data()}, {second, dy_second.data()}};
  causal_conv_forward(sizes, inputs, y, stream);
  causal_conv_backward(sizes, inputs, dy, dnext.data(), {dx.data(), dweight.data(), dbias.data(), dstate.data()},
                       scratch.data(), stream);
  Results<float> results = {
      {}, to_host(dx, stream), to_host(dweight, stream), to_host(dbias, stream), to_host(dstate, stream)};
  const std::vector<float> parts[] = {to_host(y_first, stream), to_host(y_second, stream)};
  for (std::int64_t row = 0; row < sizes.batch * sizes.length; ++row) {
    results.y.insert(results.y.end(), parts[0].begin() + row * first, parts[0].begin() + (row + 1) * first);
    results.y.insert(results.y.end(), parts[1].begin() + row * second, parts[1].begin() + (row + 1) * second);
  }
  return results;
}

void expect_near(const Results<float>& results, const Results<double>& expected, double tolerance) {
  EXPECT_LT(relative_error(results.y, expected.y), tolerance);
  EXPECT_LT(relative_error(results.dx, expected.dx), tolerance);
  EXPECT_LT(relative_error(results.dweight, expected.dweight), tolerance);
  EXPECT_LT(relative_error(results.dbias, expected.dbias), tolerance);
  EXPECT_LT(relative_error(results.dstate, expected.dstate), tolerance);
}

// A sum over K taps rounds K times by 2^-25 of at most its size, root mean square; silu and its derivative a few times
// more. Those over steps round up to 64 times in a block, but errors of both signs add up as a root: 8 2^-25.
TEST(CausalConv, IsTheDefinition) {
  // One step; fewer steps than taps; several blocks with a rest, in two parts; more taps than warps.
  for (const auto& [sizes, first] :
       {std::pair{CausalConvSizes{1, 1, 1, 1, false}, 0}, std::pair{CausalConvSizes{2, 2, 33, 4, true}, 0},
        std::pair{CausalConvSizes{2, 131, 37, 4, true}, 3}, std::pair{CausalConvSizes{1, 70, 5, 4, false}, 2},
        std::pair{CausalConvSizes{1, 65, 3, 11, true}, 1}}) {
    SCOPED_TRACE(testing::Message() << sizes.length << " steps, " << sizes.kernel << " taps");
    const Inputs inputs = random_inputs(sizes);
    expect_near(on_device(sizes, inputs, first), plain(sizes, inputs), 3e-7);
  }
}

TEST(CausalConv, SumsOfSmallWholeNumbersAreExact) {
  const CausalConvSizes sizes = {1, 140, 3, 3, false};
  Inputs inputs = random_inputs(sizes);
  for (std::vector<float>* values :
       {&inputs.x, &inputs.weight, &inputs.bias, &inputs.state, &inputs.dy, &inputs.dnext}) {
    for (float& value : *values) value = std::round(2 * value);
  }
  expect_near(on_device(sizes, inputs), plain(sizes, inputs), 1e-300);
}

TEST(CausalConv, GoesOnFromTheStateBehindAnySplit) {
  const CausalConvSizes sizes = {1, 9, 2, 4, true};
  const Inputs inputs = random_inputs(sizes);
  const std::vector<float> whole = on_device(sizes, inputs).y;
  for (const std::int64_t split : {1, 3, 8}) {
    std::vector<float> rows = inputs.state;
    rows.insert(rows.end(), inputs.x.begin(), inputs.x.end());
    CausalConvSizes rest = sizes;
    rest.length = sizes.length - split;
    Inputs behind = inputs;
    behind.state.assign(rows.begin() + split * 2, rows.begin() + (split + 3) * 2);
    behind.x.assign(inputs.x.begin() + split * 2, inputs.x.end());
    behind.dy.assign(inputs.dy.begin() + split * 2, inputs.dy.end());
    EXPECT_EQ(on_device(rest, behind).y, std::vector<float>(whole.begin() + split * 2, whole.end()));
  }
}

TEST(CausalConv, RepeatsBitForBitInEveryOrder) {
  const CausalConvSizes sizes = {2, 70, 33, 4, true};
  const Inputs inputs = random_inputs(sizes);
  set_schedule_seed(1);
  const Results<float> first = on_device(sizes, inputs);
  set_schedule_seed(2);
  const Results<float> second = on_device(sizes, inputs);
  EXPECT_EQ(first.y, second.y);
  EXPECT_EQ(first.dx, second.dx);
  EXPECT_EQ(first.dweight, second.dweight);
  EXPECT_EQ(first.dbias, second.dbias);
  EXPECT_EQ(first.dstate, second.dstate);
}

TEST(CausalConv, WhatNobodyHasOrWantsIsLeftOut) {
  const CausalConvSizes sizes = {1, 70, 3, 4, true};
  Inputs inputs = random_inputs(sizes);
  Stream stream;
  const DeviceBuffer<float> x = to_device(std::span(inputs.x), stream), dy = to_device(std::span(inputs.dy), stream);
  const DeviceBuffer<float> weight = to_device(std::span(inputs.weight), stream);
  const DeviceBuffer<float> state = to_device(std::span(inputs.state), stream);
  DeviceBuffer<float> dweight(inputs.weight.size());
  DeviceBuffer<float> scratch(static_cast<std::size_t>(causal_conv_backward_scratch(sizes)));
  const cpu::CausalConvPart<const float> part = {3, dy.data()};
  causal_conv_backward(sizes, {x.data(), weight.data(), nullptr, state.data()}, {&part, 1}, nullptr,
                       {nullptr, dweight.data(), nullptr, nullptr}, scratch.data(), stream);
  inputs.bias.assign(3, 0.0F);
  EXPECT_LT(relative_error(to_host(dweight, stream), plain(sizes, inputs).dweight), 3e-7);
}

TEST(CausalConv, RefusesWhatItDoesNotCompute) {
  EXPECT_EQ(causal_conv_backward_kernel({2, 61, 33, 4, true}).shared_bytes, (64U + 3) * 32 * 4);
  EXPECT_EQ(causal_conv_backward_kernel({2, 61, 33, 4, true}).blocks, 2U * 2);
  EXPECT_EQ(causal_conv_backward_kernel({2, 62, 33, 4, true}).blocks, 2U * 2 * 2);
  const Device usual = device();
  emulate_device(a100());
  EXPECT_THAT(error_of([] {
                causal_conv_backward_kernel({1, 8, 8, 2000, false});
              }),
              AllOf(HasSubstr("kernel is 2000; it can be at most 1241 by the shared memory of a block")));
  emulate_device(usual);
  Stream stream;
  const cpu::CausalConvPart<float> part = {3, nullptr};
  EXPECT_THAT(error_of([&] {
                causal_conv_forward({1, 8, 4, 4, false}, {nullptr, nullptr, nullptr, nullptr}, {&part, 1}, stream);
              }),
              HasSubstr("the parts have 3 channels; they must be the 4 of x together"));
  EXPECT_THAT(error_of([] {
                causal_conv_backward_kernel({1, 8, 4, 0, false});
              }),
              HasSubstr("causal_conv on the GPU: kernel is 0; it must be from 1 to 2147483647"));
}

}  // namespace
}  // namespace zoo::gpu
