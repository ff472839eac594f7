// What the kernels of small families move through shared memory (traffic_testing.h).
#include "traffic_testing.h"
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

}  // namespace
}  // namespace zoo::gpu
