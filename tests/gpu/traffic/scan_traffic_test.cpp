// What the scans' kernels move through shared memory (traffic_testing.h).
#include "traffic_testing.h"
#include "zoo/gpu/device_model.h"
#include "zoo/gpu/diagonal_scan.h"
#include "zoo/gpu/diagonal_scan_selective.h"
#include "zoo/gpu/diagonal_scan_wkv.h"

namespace zoo::gpu {
namespace {

void expect_diagonal_scan(const cpu::ScanSizes& sizes) {
  Stream stream;
  Memory memory(stream);
  const std::int64_t state = sizes.batch * sizes.channels, all = state * sizes.length;
  const float *a = memory.take(all), *b = memory.take(all), *initial = memory.take(state), *dh = memory.take(all);
  float* h = memory.take(all);
  EXPECT_EQ(counted(stream, [&] { diagonal_scan_forward(sizes, a, b, initial, h, stream); }),
            diagonal_scan_traffic(sizes))
      << sizes.length;
  const cpu::DiagonalScanGradients<float> into = {memory.take(all), memory.take(all), memory.take(state)};
  EXPECT_EQ(counted(stream, [&] { diagonal_scan_backward(sizes, a, h, initial, dh, into, stream); }),
            diagonal_scan_traffic(sizes))
      << sizes.length;
}

TEST(SharedTraffic, OfDiagonalScan) {
  // Whole rounds of 16 pieces; several rounds, with a piece that is not whole; fewer pieces than a block could have.
  expect_diagonal_scan({.batch = 2, .length = 256, .channels = 32});
  expect_diagonal_scan({.batch = 1, .length = 531, .channels = 40});
  expect_diagonal_scan({.batch = 3, .length = 21, .channels = 5});
  // Blocks enough for all multiprocessors twice have fewer pieces each.
  expect_diagonal_scan({.batch = 8, .length = 150, .channels = 32 * 34});
}

// Blocks that are many on one device and few on another.
TEST(SharedTraffic, OfDiagonalScanIsOfTheDeviceThatIsModelled) {
  const cpu::ScanSizes sizes = {.batch = 1, .length = 256, .channels = 32 * 220};
  const ModelledDevice model(a100());
  const double on_a100 = diagonal_scan_traffic(sizes);
  const ModelledDevice other(h100());
  EXPECT_GT(diagonal_scan_traffic(sizes), on_a100);
}

void expect_selective_scan(const cpu::SelectiveScanSizes& sizes, bool last_state) {
  Stream stream;
  Memory memory(stream);
  const std::int64_t steps = sizes.batch * sizes.length, channels = steps * sizes.channels;
  const std::int64_t rows = steps * sizes.state, states = sizes.batch * sizes.channels * sizes.state;
  const cpu::SelectiveScanInputs<float> in = {
      memory.take(channels), memory.take(channels), memory.take(sizes.channels * sizes.state),
      memory.take(rows),     memory.take(rows),     memory.take(sizes.channels),
      memory.take(states)};
  float* checkpoints = memory.take(states * sizes.chunks());
  const cpu::SelectiveScanOutputs<float> out = {memory.take(channels), memory.take(states), checkpoints};
  EXPECT_EQ(counted(stream, [&] { selective_scan_forward(sizes, in, out, stream); }),
            selective_scan_forward_traffic(sizes))
      << sizes.length;
  const std::int64_t blocks = selective_scan_blocks(sizes);
  const cpu::SelectiveScanGradients<float> into = {
      memory.take(channels),      memory.take(channels),      memory.take(states),
      memory.take(blocks * rows), memory.take(blocks * rows), memory.take(sizes.batch * sizes.channels),
      memory.take(states)};
  const float* dy = memory.take(channels);
  const float* dstate = last_state ? memory.take(states) : nullptr;
  EXPECT_EQ(counted(stream, [&] { selective_scan_backward(sizes, in, checkpoints, dy, dstate, into, stream); }),
            selective_scan_backward_traffic(sizes))
      << sizes.length;
}

TEST(SharedTraffic, OfSelectiveScan) {
  // Whole rounds of 8 pieces; several rounds, with a piece that is not whole; fewer pieces than a block could have.
  expect_selective_scan({.batch = 2, .length = 128, .channels = 32, .state = 16}, true);
  expect_selective_scan({.batch = 1, .length = 291, .channels = 40, .state = 3}, false);
  expect_selective_scan({.batch = 2, .length = 37, .channels = 5, .state = 4}, true);
  // States of which not all pieces have room, backward fewer of them than forward.
  expect_selective_scan({.batch = 1, .length = 140, .channels = 3, .state = 300}, true);
}

void expect_wkv(const cpu::ScanSizes& sizes, bool last_state) {
  Stream stream;
  Memory memory(stream);
  const std::int64_t state = sizes.batch * sizes.channels, all = state * sizes.length;
  const std::int64_t chunks = (sizes.length + cpu::wkv_chunk - 1) / cpu::wkv_chunk;
  const cpu::WkvInputs<float> in = {memory.take(all),
                                    memory.take(all),
                                    memory.take(sizes.channels),
                                    memory.take(sizes.channels),
                                    {memory.take(state), memory.take(state), memory.take(state)}};
  float* checkpoints = memory.take(3 * state * chunks);
  const cpu::WkvOutputs<float> out = {
      memory.take(all), {memory.take(state), memory.take(state), memory.take(state)}, checkpoints};
  EXPECT_EQ(counted(stream, [&] { wkv_forward(sizes, in, out, stream); }), wkv_forward_traffic(sizes)) << sizes.length;
  const cpu::WkvGradients<float> into = {memory.take(all),
                                         memory.take(all),
                                         memory.take(state),
                                         memory.take(state),
                                         {memory.take(state), memory.take(state), memory.take(state)}};
  const float* dy = memory.take(all);
  cpu::WkvState<const float> dstate = {nullptr, nullptr, nullptr};
  if (last_state) dstate = {memory.take(state), memory.take(state), memory.take(state)};
  EXPECT_EQ(counted(stream, [&] { wkv_backward(sizes, in, checkpoints, dy, dstate, into, stream); }),
            wkv_backward_traffic(sizes))
      << sizes.length;
}

TEST(SharedTraffic, OfWkv) {
  // As above.
  expect_wkv({.batch = 2, .length = 128, .channels = 32}, true);
  expect_wkv({.batch = 1, .length = 291, .channels = 40}, false);
  expect_wkv({.batch = 3, .length = 37, .channels = 5}, true);
  expect_wkv({.batch = 1, .length = 7, .channels = 64}, true);
}

}  // namespace
}  // namespace zoo::gpu
