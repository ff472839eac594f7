#include <cmath>
#include <numeric>
#include <vector>

#include "gpu_testing.h"

namespace zoo::gpu {

__global__ void barrier_in_branch() {
  if (threadIdx.x < 4) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void early_return(unsigned n) {
  if (threadIdx.x >= n) return;
  __syncthreads();
}

__global__ void caller_not_in_mask() {
  __shfl_sync(0x0000ffff, threadIdx.x, 0);
}

__global__ void lanes_that_return() {
  if (threadIdx.x % 32 < 16) return;
  __shfl_down_sync(0xffffffff, threadIdx.x, 1);
}

__global__ void different_masks() {
  __ballot_sync(threadIdx.x < 8 ? 0x0000ffff : 0xffffffff, 1);
}

__global__ void half_a_warp_at_the_barrier() {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}

__global__ void one_thread_faults() {
  if (threadIdx.x == 7) __syncwarp(1);
  __syncthreads();
}

__global__ void writes_own_number(int* y) {
  y[threadIdx.x] = static_cast<int>(threadIdx.x);
}

__global__ void lock_never_freed(int* lock) {
  while (atomicCAS(lock, 0, 1) != 0) {
  }
}

__global__ void writes_at(std::ptrdiff_t at, float* x) {
  if (threadIdx.x == 0) x[at] = 1;
}

__global__ void writes_shared_at(std::ptrdiff_t at) {
  if (threadIdx.x == 3) shared_memory<float>()[at] = 1;
}

__global__ void copies_uninitialised_shared(float* y) {
  y[threadIdx.x] = shared_memory<float>()[threadIdx.x];
}

__global__ void asks_for_a_struct() {
  struct Shared {
    float tile[32][33];
  };
  shared_memory<Shared>()->tile[0][0] = 1;
}

__global__ void reads_a_misaligned_vector(const float* x, float* y) {
  *y = __ldg(reinterpret_cast<const float4*>(x + 1)).x;
}

__global__ void recurses(int depth, const int* caller, int* y) {
  int frame[256];
  for (int i = 0; i < 256; ++i) frame[i] = caller == nullptr ? i : caller[255 - i] + 1;
  if (depth > 0) recurses(depth - 1, frame, y);
  *y = frame[0];
}

__global__ void nothing() {}

namespace {

using testing::AllOf;
using testing::HasSubstr;

template <typename... Parameters, typename... Arguments>
std::string fault_of(void (*kernel)(Parameters...), unsigned threads, Arguments... arguments) {
  return error_of([&] {
    Stream stream;
    launch(kernel, 1, threads, 4 * sizeof(float), stream, arguments...);
    stream.synchronize();
  });
}

TEST(Fault, NamesKernelBlockThreadSeedAndLaunch) {
  set_schedule_seed(17);
  EXPECT_THAT(
      fault_of(early_return, 8, 4U),
      AllOf(HasSubstr("kernel 'zoo::gpu::early_return', block (0, 0, 0), thread (0, 0, 0): divergent barrier: "),
            HasSubstr("(ZOO_GPU_SEED=17, launch 0)")));
}

TEST(Fault, BarriersInTwoBranches) {
  EXPECT_THAT(fault_of(barrier_in_branch, 8),
              AllOf(HasSubstr("divergent barrier: this thread comes to __syncthreads at faults_test.cpp:"),
                    HasSubstr("waits at __syncthreads at faults_test.cpp:"), HasSubstr("take it out of the branch")));
}

TEST(Fault, BarrierAfterAnEarlyReturn) {
  EXPECT_THAT(fault_of(early_return, 8, 5U),
              HasSubstr("3 of 8 threads have ended, thread (5, 0, 0) the first of them"));
}

TEST(Fault, CallerNotInItsMask) {
  EXPECT_THAT(fault_of(caller_not_in_mask, 32),
              AllOf(HasSubstr("wrong mask: __shfl_sync at faults_test.cpp:"), HasSubstr("not in its mask 0x0000ffff")));
}

// Of the threads behind a fault some have not begun, some wait: none goes on in the launch after it.
TEST(Fault, LeavesNothingOfItsLaunchBehind) {
  constexpr unsigned count = 64;
  std::vector<int> expected(count);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(times_right([&] {
              EXPECT_THAT(fault_of(one_thread_faults, count), HasSubstr("wrong mask: "));
              Stream stream;
              DeviceBuffer<int> y(count);
              launch(writes_own_number, 1, count, 0, stream, y.data());
              return to_host(y, stream) == expected;
            }),
            schedules);
}

TEST(Fault, MaskNamesLanesThatHaveEnded) {
  EXPECT_THAT(fault_of(lanes_that_return, 32),
              AllOf(HasSubstr("wrong mask: __shfl_down_sync"), HasSubstr(" has ended")));
}

TEST(Fault, MaskNamesLanesBeyondTheBlock) {
  EXPECT_THAT(fault_of(lanes_that_return, 24), HasSubstr("wrong mask: "));
}

TEST(Fault, LanesWithDifferentMasks) {
  EXPECT_THAT(fault_of(different_masks, 32), AllOf(HasSubstr("wrong mask: "), HasSubstr("mask 0x0000ffff")));
}

TEST(Fault, LanesThatWaitElsewhere) {
  EXPECT_THAT(
      fault_of(half_a_warp_at_the_barrier, 32),
      AllOf(HasSubstr("deadlock: __syncwarp at"), HasSubstr("lane 0 waits at __syncthreads at faults_test.cpp:")));
}

TEST(Fault, LockThatNobodyFrees) {
  if (host::race_check) GTEST_SKIP() << "ten million switches take minutes under ThreadSanitizer";
  Stream stream;
  DeviceBuffer<int> lock(1);
  fill_async(lock.data(), 0, lock.bytes(), stream);
  launch(lock_never_freed, 1, 2, 0, stream, lock.data());
  EXPECT_THAT(error_of([&] { stream.synchronize(); }),
              HasSubstr("deadlock: the threads of this block go on with atomic"));
}

TEST(Fault, TheDeviceWorksAfterOne) {
  EXPECT_THAT(fault_of(barrier_in_branch, 8), HasSubstr("divergent barrier"));
  EXPECT_EQ(fault_of(nothing, 8), "nothing was thrown");
}

TEST(Fault, WriteBeyondSharedMemory) {
  if (host::address_sanitizer) {
    EXPECT_DEATH(fault_of(writes_shared_at, 8, std::ptrdiff_t{4}), "use-after-poison");
    return;
  }
  EXPECT_THAT(fault_of(writes_shared_at, 8, std::ptrdiff_t{4}),
              AllOf(HasSubstr("kernel 'zoo::gpu::writes_shared_at', block (0, 0, 0): out-of-bounds write: byte 1"),
                    HasSubstr(" of its 16 bytes of shared memory")));
  EXPECT_THAT(fault_of(writes_shared_at, 8, std::ptrdiff_t{-1}), HasSubstr("out-of-bounds write: byte -"));
  EXPECT_EQ(fault_of(writes_shared_at, 8, std::ptrdiff_t{3}), "nothing was thrown");
}

TEST(Fault, WriteBeyondAnAllocation) {
  const auto written_at = [](std::ptrdiff_t at) {
    DeviceBuffer<float> x(6);
    return fault_of(writes_at, 8, at, x.data());
  };
  if (host::address_sanitizer) {
    EXPECT_DEATH(written_at(6), "use-after-poison");
    return;
  }
  for (const std::ptrdiff_t at : {6, -1}) {
    EXPECT_THAT(written_at(at), AllOf(HasSubstr("kernel 'zoo::gpu::writes_at': out-of-bounds write: byte "),
                                      HasSubstr("of the allocation of 24 bytes made at faults_test.cpp:")));
  }
  EXPECT_EQ(written_at(5), "nothing was thrown");
}

TEST(Fault, UninitialisedSharedMemoryIsNaN) {
  Stream stream;
  DeviceBuffer<float> y(8);
  launch(copies_uninitialised_shared, 1, 8, 8 * sizeof(float), stream, y.data());
  for (const float value : to_host(y, stream)) EXPECT_TRUE(std::isnan(value));
}

TEST(Fault, LessSharedMemoryThanAStructNeeds) {
  EXPECT_THAT(fault_of(asks_for_a_struct, 1),
              HasSubstr("shared memory: the kernel uses at least 4224 bytes but was launched with 16"));
}

TEST(Fault, MisalignedVector) {
  DeviceBuffer<float> x(8);
  EXPECT_THAT(fault_of(reads_a_misaligned_vector, 1, x.data(), x.data()),
              AllOf(HasSubstr("misaligned access: __ldg at faults_test.cpp:"), HasSubstr("not a multiple of 16")));
}

TEST(Fault, PointersThatAreNotDeviceMemory) {
  float on_the_host = 0;
  EXPECT_THAT(fault_of(writes_at, 1, std::ptrdiff_t{0}, &on_the_host),
              AllOf(HasSubstr("kernel 'zoo::gpu::writes_at': argument 2 must be in device memory, but is "),
                    HasSubstr("not device memory")));
  float* freed = DeviceBuffer<float>(4).data();
  EXPECT_THAT(fault_of(writes_at, 1, std::ptrdiff_t{0}, freed),
              HasSubstr("of the freed allocation of 16 bytes made at"));
}

TEST(FaultDeath, HostThatFollowsADevicePointer) {
  DeviceBuffer<float> x(4);
  const volatile float* pointer = x.data();
  Stream stream;
  launch(nothing, 1, 1, 0, stream);
  EXPECT_DEATH(static_cast<void>(*pointer),
               "host code followed a device pointer: byte 0 of the allocation of 16 bytes");
}

TEST(FaultDeath, StackOverflow) {
  DeviceBuffer<int> y(1);
  EXPECT_DEATH(fault_of(recurses, 1, 1000, static_cast<int*>(nullptr), y.data()),
               "kernel 'zoo::gpu::recurses'.*stack overflow|stack-overflow");
}

TEST(Fault, LaunchesBeyondTheDevice) {
  Stream stream;
  const auto refused = [&](dim3 grid, dim3 block, std::size_t shared) {
    return error_of([&] { launch(nothing, grid, block, shared, stream); });
  };
  EXPECT_THAT(refused(1, 1025, 0),
              HasSubstr("kernel 'zoo::gpu::nothing' cannot be launched on emulated H100: its blocks"));
  EXPECT_THAT(refused(1, dim3(32, 33), 0), HasSubstr("its blocks have 1056 threads; they can have at most 1024"));
  EXPECT_THAT(refused(1, dim3(1, 1, 65), 0), HasSubstr("65 threads along z; they must have 1 to 64"));
  EXPECT_THAT(refused(dim3(1, 65536), 1, 0), HasSubstr("65536 blocks along y; it must have 1 to 65535"));
  EXPECT_THAT(refused(0, 1, 0), HasSubstr("0 blocks along x"));
  EXPECT_THAT(refused(1, 0, 0), HasSubstr("0 threads along x"));
  EXPECT_THAT(refused(1, 1, 227 * 1024 + 1),
              HasSubstr("232449 bytes of shared memory; a block can have at most 232448"));
  EXPECT_EQ(refused(1, 1024, 227 * 1024), "nothing was thrown");
}

}  // namespace
}  // namespace zoo::gpu
