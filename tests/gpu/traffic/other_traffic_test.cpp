// What the kernels of small families move through shared memory (traffic_testing.h).
#include "traffic_testing.h"
#include "zoo/gpu/causal_conv.h"
#include "zoo/gpu/l1_distance.h"
#include "zoo/gpu/norm.h"
#include "zoo/gpu/recurrent_cell.h"

namespace zoo::gpu {
namespace {

void expect_recurrent_cell(const cpu::CellSizes& sizes) {
  Stream stream;
  Memory memory(stream);
  const bool lstm = sizes.cell == cpu::Cell::lstm;
  const std::int64_t steps = sizes.batch * sizes.length, rows = sizes.gates() * sizes.width;
  const std::int64_t state = sizes.batch * sizes.width;
  const cpu::CellInputs<float> in = {memory.take(steps * rows), memory.take(rows * sizes.width), memory.take(rows),
                                     memory.take(state), lstm ? memory.take(state) : nullptr};
  const cpu::CellOutputs<float> out = {memory.take(steps * sizes.width), lstm ? memory.take(state) : nullptr,
                                       memory.take(steps * sizes.kept() * sizes.width)};
  EXPECT_EQ(counted(stream, [&] { recurrent_cell_forward(sizes, in, out, stream); }),
            recurrent_cell_forward_traffic(sizes))
      << sizes.width;
  const cpu::CellResults<float> results = {out.h, out.kept, memory.take(steps * sizes.width),
                                           lstm ? memory.take(state) : nullptr};
  float* dx = memory.take(steps * rows);
  const cpu::CellGradients<float> into = {dx, sizes.cell == cpu::Cell::gru ? memory.take(steps * rows) : dx,
                                          memory.take(state), lstm ? memory.take(state) : nullptr};
  EXPECT_EQ(counted(stream, [&] { recurrent_cell_backward(sizes, in, results, into, stream); }),
            recurrent_cell_backward_traffic(sizes))
      << sizes.width;
}

TEST(SharedTraffic, OfRecurrentCell) {
  // Whole blocks; several blocks of sequences and of units, neither whole; one step; fewer units than a warp has lanes.
  expect_recurrent_cell({.cell = cpu::Cell::tanh, .batch = 4, .length = 3, .width = 32});
  expect_recurrent_cell({.cell = cpu::Cell::lstm, .batch = 37, .length = 2, .width = 72});
  expect_recurrent_cell({.cell = cpu::Cell::gru, .batch = 6, .length = 1, .width = 40});
  expect_recurrent_cell({.cell = cpu::Cell::gru, .batch = 1, .length = 4, .width = 5});
}

void expect_causal_conv(const cpu::CausalConvSizes& sizes, const std::vector<std::int64_t>& widths, bool inputs) {
  Stream stream;
  Memory memory(stream);
  const std::int64_t all = sizes.batch * sizes.length * sizes.channels, taps = sizes.channels * sizes.kernel;
  const std::int64_t state = sizes.batch * (sizes.kernel - 1) * sizes.channels;
  const cpu::CausalConvInputs<float> in = {memory.take(all), memory.take(taps), memory.take(sizes.channels),
                                           memory.take(state)};
  std::vector<cpu::CausalConvPart<const float>> dy;
  for (const std::int64_t width : widths) dy.push_back({width, memory.take(sizes.batch * sizes.length * width)});
  const cpu::CausalConvGradients<float> into = {inputs ? memory.take(all) : nullptr, memory.take(taps),
                                                memory.take(sizes.channels), inputs ? memory.take(state) : nullptr};
  const float* dstate = inputs ? memory.take(state) : nullptr;
  float* scratch = memory.take(causal_conv_backward_scratch(sizes));
  EXPECT_EQ(counted(stream, [&] { causal_conv_backward(sizes, in, dy, dstate, into, scratch, stream); }),
            causal_conv_backward_traffic(sizes, widths, inputs))
      << sizes.length;
}

TEST(SharedTraffic, OfCausalConv) {
  // Whole blocks of inputs, but for the state's; several, with channels in parts of which one is empty; fewer steps
  // than taps, without the gradients of the inputs; one tap.
  expect_causal_conv({.batch = 2, .length = 128, .channels = 64, .kernel = 4}, {64}, true);
  expect_causal_conv({.batch = 1, .length = 150, .channels = 75, .kernel = 3, .silu = true}, {40, 0, 35}, true);
  expect_causal_conv({.batch = 3, .length = 5, .channels = 7, .kernel = 9}, {7}, false);
  expect_causal_conv({.batch = 2, .length = 64, .channels = 33, .kernel = 1, .silu = true}, {33}, true);
}

void expect_l1_distance(const cpu::DistanceSizes& sizes) {
  Stream stream;
  Memory memory(stream);
  const std::int64_t row = sizes.batch * sizes.heads * sizes.d, head = sizes.batch * sizes.heads;
  const float *q = memory.take(row * sizes.queries), *k = memory.take(row * sizes.keys);
  const std::int64_t pairs = head * sizes.queries * sizes.keys;
  float* distances = memory.take(pairs);
  EXPECT_EQ(counted(stream, [&] { l1_distance_forward(sizes, q, k, distances, stream); }),
            l1_distance_forward_traffic(sizes))
      << sizes.d;
  const float* gradient = memory.take(pairs);
  float *dq = memory.take(row * sizes.queries), *dk = memory.take(row * sizes.keys);
  EXPECT_EQ(counted(stream, [&] { l1_distance_backward(sizes, q, k, gradient, dq, dk, stream); }),
            l1_distance_backward_traffic(sizes))
      << sizes.d;
}

TEST(SharedTraffic, OfL1Distance) {
  // Whole squares; several of either side and of the channels, none whole; one query.
  expect_l1_distance({.batch = 2, .queries = 32, .keys = 64, .heads = 2, .d = 32});
  expect_l1_distance({.batch = 1, .queries = 70, .keys = 33, .heads = 3, .d = 40});
  expect_l1_distance({.batch = 1, .queries = 1, .keys = 130, .heads = 1, .d = 5});
}

void expect_norm(std::int64_t rows, std::int64_t count, bool bias) {
  Stream stream;
  Memory memory(stream);
  const cpu::NormInput<float> in = {
      memory.take(rows * count), memory.take(count), bias ? memory.take(count) : nullptr, rows, count, 1e-5};
  float* y = memory.take(rows * count);
  const auto forward = bias ? layer_norm : rms_norm;
  EXPECT_EQ(counted(stream, [&] { forward(in, y, stream); }), 0);
  const auto backward = bias ? layer_norm_backward : rms_norm_backward;
  float* scratch = memory.take(norm_backward_scratch(rows, count));
  float* dx = memory.take(rows * count);
  const cpu::NormGradients<float> all = {dx, memory.take(count), bias ? memory.take(count) : nullptr};
  EXPECT_EQ(counted(stream, [&] { backward(in, y, all, scratch, stream); }), norm_backward_traffic(rows, count))
      << count;
  const cpu::NormGradients<float> of_x = {dx, nullptr, nullptr};
  EXPECT_EQ(counted(stream, [&] { backward(in, y, of_x, scratch, stream); }), 0) << count;
}

TEST(SharedTraffic, OfNorm) {
  expect_norm(256, 64, true);
  expect_norm(130, 40, false);
  expect_norm(3, 5, true);
}

}  // namespace
}  // namespace zoo::gpu
