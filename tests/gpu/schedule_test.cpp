#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <numeric>

#include "gpu_testing.h"

namespace zoo::gpu {

// The order in which threads come.
__global__ void takes_numbers(int* next, int* number) {
  number[threadIdx.x] = atomicAdd(next, 1);
}

__global__ void takes_block_numbers(int* next, int* number) {
  number[blockIdx.x] = atomicAdd(next, 1);
}

__global__ void writes(int value, int* x) {
  *x = value;
}

namespace {

std::vector<int> order(std::uint64_t seed, void (*kernel)(int*, int*), dim3 grid, dim3 block) {
  set_schedule_seed(seed);
  Stream stream;
  DeviceBuffer<int> next(1);
  DeviceBuffer<int> number(64);
  fill_async(next.data(), 0, next.bytes(), stream);
  launch(kernel, grid, block, 0, stream, next.data(), number.data());
  return to_host(number, stream);
}

TEST(Schedule, ASeedRepeatsTheOrderOfThreadsAndAnotherChangesIt) {
  const std::vector<int> first = order(1, takes_numbers, 1, 64);
  EXPECT_EQ(order(1, takes_numbers, 1, 64), first);
  EXPECT_NE(order(2, takes_numbers, 1, 64), first);
  std::vector<int> sorted = first;
  std::ranges::sort(sorted);
  std::vector<int> all(64);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(sorted, all);
  EXPECT_NE(first, all);
}

TEST(Schedule, BlocksComeInARandomOrder) {
  EXPECT_NE(order(1, takes_block_numbers, 64, 1), order(2, takes_block_numbers, 64, 1));
}

TEST(Schedule, AStreamKeepsItsOrderAndEventsMakeOne) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    set_schedule_seed(seed);
    Stream first;
    Stream second;
    Event done;
    DeviceBuffer<int> x(1);
    launch(writes, 1, 1, 0, first, 1, x.data());
    launch(writes, 1, 1, 0, first, 2, x.data());
    done.record(first);
    second.wait(done);
    launch(writes, 1, 1, 0, second, 3, x.data());
    EXPECT_EQ(to_host(x, second)[0], 3);
    done.synchronize();
  }
}

TEST(Schedule, AnEventThatWasNeverRecordedIsComplete) {
  Stream stream;
  const Event never;
  stream.wait(never);
  stream.synchronize();
}

TEST(Schedule, AfterAFaultNobodyWaitsForEver) {
  Stream first;
  Stream second;
  Event done;
  DeviceBuffer<int> x(1);
  launch(
      +[](int* pointer) { pointer[0] = __shfl_sync(0, 1, 0); }, 1, 32, 0, first, x.data());
  done.record(first);
  second.wait(done);
  launch(writes, 1, 1, 0, second, 3, x.data());
  EXPECT_THAT(error_of([&] { second.synchronize(); }), testing::HasSubstr("wrong mask"));
  done.synchronize();
  second.wait(done);
  launch(writes, 1, 1, 0, second, 4, x.data());
  EXPECT_EQ(to_host(x, second)[0], 4);
}

TEST(ScheduleDeath, TheSeedComesFromTheEnvironment) {
  const auto with_seed = [](const char* seed) {
    setenv("ZOO_GPU_SEED", seed, 1);
    std::cerr << error_of([] { std::cerr << schedule_seed() << "; "; });
    std::exit(0);
  };
  EXPECT_EXIT(with_seed("123"), testing::ExitedWithCode(0), "123; nothing was thrown");
  EXPECT_EXIT(with_seed("12x"), testing::ExitedWithCode(0), "ZOO_GPU_SEED is '12x'; it must be a whole number");
}

}  // namespace
}  // namespace zoo::gpu
