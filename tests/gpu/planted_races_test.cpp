#include <cmath>
#include <numeric>

#include "gpu_testing.h"
#include "zoo/gpu/ptx.h"

// Kernels with one mistake each, beside the same kernel without it, which no schedule may complain about.

namespace zoo::gpu {

__global__ void neighbour_in_block(bool barrier, float* y) {
  auto* shared = shared_memory<float>();
  const unsigned i = threadIdx.x;
  shared[i] = static_cast<float>(i);
  if (barrier) __syncthreads();
  y[i] = shared[(i + 1) % blockDim.x];
}

__global__ void neighbour_in_warp(bool barrier, float* y) {
  auto* shared = shared_memory<float>();
  const unsigned i = threadIdx.x;
  shared[i] = static_cast<float>(i);
  if (barrier) __syncwarp();
  y[i] = shared[i ^ 1];
}

// Copies of 16 bytes arrive for the thread that waits for them; for others only a barrier says so.
__global__ void neighbour_of_copies(bool barrier, const float4* x, float* y) {
  auto* shared = shared_memory<float4>();
  const unsigned i = threadIdx.x;
  copy_async<16>(&shared[i], &x[i]);
  copy_async_commit();
  copy_async_wait<0>();
  if (barrier) __syncthreads();
  y[i] = shared[(i + 1) % blockDim.x].w;
}

// The second barrier is the one that beginners forget: nobody may overwrite what others still read.
__global__ void overwritten_too_early(bool barrier, float* y) {
  auto* shared = shared_memory<float>();
  const unsigned i = threadIdx.x;
  float sum = 0;
  for (unsigned step = 0; step < 3; ++step) {
    shared[i] = static_cast<float>(i + step);
    __syncthreads();
    sum += shared[(i + 1) % blockDim.x];
    if (barrier) __syncthreads();
  }
  y[i] = sum;
}

__global__ void shared_variable(bool barrier, float* y) {
  __shared__ float value;
  if (threadIdx.x == 0) value = static_cast<float>(blockIdx.x + 1);
  if (barrier) __syncthreads();
  y[blockIdx.x * blockDim.x + threadIdx.x] = value;
}

__global__ void count_of_blocks(bool atomic, int* count) {
  if (threadIdx.x != 0) return;
  if (atomic) {
    atomicAdd(count, 1);
  } else {
    *count = *count + 1;
  }
}

__global__ void chained_blocks(float* y) {
  if (threadIdx.x != 0) return;
  y[blockIdx.x] = blockIdx.x == 0 ? 1 : y[blockIdx.x - 1] + 1;
}

__global__ void last_block_adds_up(bool fence, float* parts, unsigned* done, float* sum) {
  parts[blockIdx.x] = static_cast<float>(blockIdx.x);
  if (fence) __threadfence();
  const bool last = atomicAdd(done, 1) == gridDim.x - 1;
  if (!last) return;
  if (fence) __threadfence();
  float total = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) total += parts[i];
  *sum = total;
}

__global__ void set_to(float value, float* y) {
  y[threadIdx.x] = value;
}
__global__ void doubled(const float* x, float* y) {
  y[threadIdx.x] = 2 * x[threadIdx.x];
}

namespace {

constexpr unsigned count = 64;

std::vector<float> result_of(void (*kernel)(bool, float*), bool correct, unsigned threads = count) {
  Stream stream;
  DeviceBuffer<float> y(threads);
  launch(kernel, 1, threads, threads * sizeof(float), stream, correct, y.data());
  return to_host(y, stream);
}

bool is_neighbour(const std::vector<float>& y) {
  for (unsigned i = 0; i < y.size(); ++i) {
    if (y[i] != static_cast<float>((i + 1) % y.size())) return false;
  }
  return true;
}

bool is_other_of_pair(const std::vector<float>& y) {
  for (unsigned i = 0; i < y.size(); ++i) {
    if (y[i] != static_cast<float>(i ^ 1)) return false;
  }
  return true;
}

bool is_sum_of_neighbours(const std::vector<float>& y) {
  for (unsigned i = 0; i < y.size(); ++i) {
    if (y[i] != static_cast<float>(3 * ((i + 1) % y.size()) + 3)) return false;
  }
  return true;
}

TEST(PlantedRace, MissingSyncthreads) {
  expect_race("zoo::gpu::neighbour_in_block", [] { return is_neighbour(result_of(neighbour_in_block, false)); });
  EXPECT_EQ(times_right([] { return is_neighbour(result_of(neighbour_in_block, true)); }), schedules);
}

TEST(PlantedRace, MissingBarrierAfterAsynchronousCopies) {
  const auto run = [](bool correct) {
    Stream stream;
    std::vector<float4> values;
    for (unsigned i = 0; i < count; ++i) values.push_back({0, 0, 0, static_cast<float>(i)});
    const DeviceBuffer<float4> x = to_device(std::span<const float4>(values), stream);
    DeviceBuffer<float> y(count);
    launch(neighbour_of_copies, 1, count, count * sizeof(float4), stream, correct, x.data(), y.data());
    return is_neighbour(to_host(y, stream));
  };
  expect_race("zoo::gpu::neighbour_of_copies", [&] { return run(false); });
  EXPECT_EQ(times_right([&] { return run(true); }), schedules);
}

TEST(PlantedRace, MissingSyncwarp) {
  expect_race("zoo::gpu::neighbour_in_warp", [] { return is_other_of_pair(result_of(neighbour_in_warp, false, 32)); });
  EXPECT_EQ(times_right([] { return is_other_of_pair(result_of(neighbour_in_warp, true, 32)); }), schedules);
}

TEST(PlantedRace, MissingSecondBarrierOfALoop) {
  expect_race("zoo::gpu::overwritten_too_early",
              [] { return is_sum_of_neighbours(result_of(overwritten_too_early, false)); });
  EXPECT_EQ(times_right([] { return is_sum_of_neighbours(result_of(overwritten_too_early, true)); }), schedules);
}

TEST(PlantedRace, MissingBarrierAfterWritingASharedVariable) {
  const auto run = [](bool correct) {
    Stream stream;
    // For ThreadSanitizer blocks of a launch race for such a variable: all of a core's have it at one address.
    constexpr unsigned blocks = host::race_check ? 1 : 4;
    DeviceBuffer<float> y(blocks * 8);
    launch(shared_variable, blocks, 8, 0, stream, correct, y.data());
    const std::vector<float> values = to_host(y, stream);
    for (unsigned i = 0; i < values.size(); ++i) {
      if (values[i] != static_cast<float>(i / 8 + 1)) return false;
    }
    return true;
  };
  expect_race("zoo::gpu::shared_variable", [&] { return run(false); });
  EXPECT_EQ(times_right([&] { return run(true); }), schedules);
}

TEST(PlantedRace, BlocksThatReadEachOther) {
  expect_race("zoo::gpu::chained_blocks", [] {
    Stream stream;
    DeviceBuffer<float> y(8);
    launch(chained_blocks, 8, 1, 0, stream, y.data());
    return to_host(y, stream).back() == 8;
  });
}

TEST(PlantedRace, BlocksThatCountWithoutAtomics) {
  if (!host::race_check)
    GTEST_SKIP() << "blocks of different cores lose counts too seldom to show without ThreadSanitizer";
  const auto run = [](bool correct) {
    Stream stream;
    DeviceBuffer<int> y(1);
    fill_async(y.data(), 0, y.bytes(), stream);
    launch(count_of_blocks, 8, 1, 0, stream, correct, y.data());
    return to_host(y, stream)[0] == 8;
  };
  expect_race("zoo::gpu::count_of_blocks", [&] { return run(false); });
  EXPECT_EQ(times_right([&] { return run(true); }), schedules);
}

TEST(PlantedRace, MissingFenceBeforeTheLastBlock) {
  const auto run = [](bool correct) {
    Stream stream;
    DeviceBuffer<float> parts(8);
    DeviceBuffer<unsigned> done(1);
    DeviceBuffer<float> sum(1);
    fill_async(done.data(), 0, done.bytes(), stream);
    launch(last_block_adds_up, 8, 1, 0, stream, correct, parts.data(), done.data(), sum.data());
    return to_host(sum, stream)[0] == 28;
  };
  expect_race_seen_by_thread_sanitizer_only("zoo::gpu::last_block_adds_up", [&] { return run(false); });
  EXPECT_EQ(times_right([&] { return run(true); }), schedules);
}

TEST(PlantedRace, MissingEventBetweenStreams) {
  const auto run = [](bool with_event) {
    Stream first;
    Stream second;
    DeviceBuffer<float> x(8);
    DeviceBuffer<float> y(8);
    launch(set_to, 1, 8, 0, first, 3.0F, x.data());
    Event written;
    written.record(first);
    if (with_event) second.wait(written);
    launch(doubled, 1, 8, 0, second, x.data(), y.data());
    const std::vector<float> values = to_host(y, second);
    first.synchronize();
    return values == std::vector<float>(8, 6);
  };
  // The race is found in the kernel that comes second, whichever that is.
  if constexpr (host::race_check) {
    EXPECT_THAT(error_of([&] { run(false); }), testing::HasSubstr("race: "));
  } else {
    EXPECT_LT(times_right([&] { return run(false); }), schedules);
  }
  EXPECT_EQ(times_right([&] { return run(true); }), schedules);
}

}  // namespace
}  // namespace zoo::gpu
