// What the kernels of attention and fast_weights move through shared memory (traffic_testing.h).
#include <cstddef>

#include "traffic_testing.h"
#include "zoo/gpu/attention.h"
#include "zoo/gpu/device_model.h"
#include "zoo/gpu/fast_weights.h"
#include "zoo/gpu/fast_weights_block.h"

namespace zoo::gpu {
namespace {

TEST(SharedTraffic, OfAttention) {
  // Whole tiles; some of the keys seen before, with a window, and heads that share theirs; several slices of columns;
  // widths that are no multiple of 8.
  const auto sizes_of = [](std::int64_t batch, std::int64_t queries, std::int64_t heads, std::int64_t kv_heads,
                           std::int64_t d, std::int64_t dv) {
    cpu::AttentionSizes sizes;
    sizes.batch = batch;
    sizes.queries = sizes.keys = queries;
    sizes.heads = heads;
    sizes.kv_heads = kv_heads;
    sizes.d = d;
    sizes.dv = dv;
    return sizes;
  };
  cpu::AttentionSizes in_window = sizes_of(1, 75, 4, 2, 16, 24);
  in_window.keys = 90;
  in_window.first_query = 15;
  in_window.window = 40;
  for (const cpu::AttentionSizes& sizes :
       {sizes_of(2, 128, 2, 2, 64, 64), in_window, sizes_of(1, 33, 1, 1, 72, 130), sizes_of(1, 20, 1, 1, 5, 3)}) {
    Stream stream;
    Memory memory(stream);
    const std::int64_t queries = sizes.batch * sizes.queries * sizes.heads;
    const std::int64_t keys = sizes.batch * sizes.keys * sizes.kv_heads;
    const cpu::AttentionInputs<float> in = {memory.take(queries * sizes.d),
                                            memory.take(keys * sizes.d),
                                            memory.take(keys * sizes.dv),
                                            nullptr,
                                            nullptr,
                                            nullptr};
    const cpu::AttentionOutputs<float> out = {memory.take(queries * sizes.dv), memory.take(queries)};
    EXPECT_EQ(counted(stream, [&] { attention_forward(sizes, in, out, tf32, stream); }),
              attention_forward_traffic(sizes))
        << sizes.d;
    const cpu::AttentionGradients<float> into = {memory.take(queries * sizes.d), memory.take(keys * sizes.d),
                                                 memory.take(keys * sizes.dv), nullptr};
    const float* dy = memory.take(queries * sizes.dv);
    float* delta = memory.take(queries);
    EXPECT_EQ(counted(stream,
                      [&] {
                        attention_backward(sizes, in, {out.y, out.log_sum}, dy, into, delta, tf32, stream);
                      }),
              attention_backward_traffic(sizes))
        << sizes.d;
  }
}

// The addresses of the matrices, which fast_weights keeps in shared memory, are not counted.
std::vector<std::pair<std::size_t, std::size_t>> addresses() {
  return {{0, offsetof(fast::Shared, x_inverse)}, {offsetof(fast::Shared, device_used), sizeof(fast::Shared)}};
}

void expect_fast_weights(const cpu::FastWeightsSizes& sizes) {
  Stream stream;
  Memory memory(stream);
  const std::int64_t d = sizes.widths[0], heads = sizes.batch * sizes.heads, tokens = heads * sizes.length;
  const auto maps = [&] {
    cpu::FastMaps<float> all;
    for (std::size_t l = 0; l < static_cast<std::size_t>(sizes.maps); ++l) {
      const std::int64_t count = heads * sizes.widths[l] * sizes.widths[l + 1], out = heads * sizes.widths[l + 1];
      all[l] = {memory.take(count), memory.take(out), memory.take(count), memory.take(out)};
    }
    return all;
  };
  const auto read_only = [](const cpu::FastMaps<float>& from) {
    cpu::FastMaps<const float> all;
    for (std::size_t l = 0; l < all.size(); ++l) all[l] = {from[l].W, from[l].b, from[l].W_sum, from[l].b_sum};
    return all;
  };
  const cpu::FastWeightsInputs<float> in = {
      memory.take(tokens * d),       memory.take(tokens * d),      memory.take(tokens * d),      memory.take(tokens),
      memory.take(sizes.mini_batch), memory.take(sizes.heads * d), memory.take(sizes.heads * d), read_only(maps())};
  float* checkpoints = memory.take(heads * sizes.checkpoints() * sizes.checkpoint_values());
  const cpu::FastWeightsOutputs<float> out = {memory.take(tokens * d), maps(), checkpoints};
  float* workspace = memory.take(fast_weights_forward_workspace(sizes));
  EXPECT_EQ(counted(
                stream, [&] { fast_weights_forward(sizes, in, out, workspace, tf32, stream); }, addresses()),
            fast_weights_forward_traffic(sizes, true));
  const cpu::FastWeightsGradients<float> into = {memory.take(tokens * d),
                                                 memory.take(tokens * d),
                                                 memory.take(tokens * d),
                                                 memory.take(tokens),
                                                 memory.take(heads * sizes.mini_batch),
                                                 memory.take(heads * d),
                                                 memory.take(heads * d),
                                                 maps()};
  const float* dz = memory.take(tokens * d);
  const cpu::FastMaps<const float> behind = read_only(maps());
  float* backward = memory.take(fast_weights_backward_workspace(sizes));
  EXPECT_EQ(
      counted(
          stream, [&] { fast_weights_backward(sizes, in, checkpoints, dz, behind, into, backward, tf32, stream); },
          addresses()),
      fast_weights_backward_traffic(sizes));
}

TEST(SharedTraffic, OfFastWeights) {
  // TTT-Linear over several checkpoints, with a rest; widths that are padded; a mini-batch that has begun; mini-batches
  // longer than a piece.
  expect_fast_weights({.batch = 2, .length = 100, .heads = 2, .maps = 1, .widths = {32, 32}, .mini_batch = 16});
  expect_fast_weights(
      {.batch = 1, .length = 21, .heads = 1, .maps = 1, .widths = {20, 20}, .mini_batch = 8, .first = 3});
  expect_fast_weights({.batch = 1, .length = 110, .heads = 1, .maps = 1, .widths = {16, 16}, .mini_batch = 80});
  // TTT-MLP.
  expect_fast_weights({.batch = 1, .length = 70, .heads = 2, .maps = 2, .widths = {16, 64, 16}, .mini_batch = 16});
  expect_fast_weights(
      {.batch = 1, .length = 30, .heads = 1, .maps = 2, .widths = {12, 40, 12}, .mini_batch = 16, .first = 5});
}

// What does not fit into an A100's shared memory does not pass through it.
TEST(SharedTraffic, OfFastWeightsPartlyInDeviceMemory) {
  const cpu::FastWeightsSizes sizes = {
      .batch = 1, .length = 32, .heads = 1, .maps = 2, .widths = {64, 256, 64}, .mini_batch = 16};
  const double on_h100 = fast_weights_backward_traffic(sizes);
  const Device usual = device();
  emulate_device(a100());
  EXPECT_LT(fast_weights_backward_traffic(sizes), on_h100);
  expect_fast_weights(sizes);
  emulate_device(usual);
}

TEST(SharedTraffic, IsOfTheDeviceThatIsModelled) {
  const cpu::FastWeightsSizes sizes = {
      .batch = 1, .length = 32, .heads = 1, .maps = 2, .widths = {64, 256, 64}, .mini_batch = 16};
  const double on_h100 = fast_weights_backward_traffic(sizes);
  {
    const ModelledDevice model(a100());
    EXPECT_EQ(device().name, "A100");
    EXPECT_LT(fast_weights_backward_traffic(sizes), on_h100);
  }
  EXPECT_EQ(fast_weights_backward_traffic(sizes), on_h100);
}

}  // namespace
}  // namespace zoo::gpu
