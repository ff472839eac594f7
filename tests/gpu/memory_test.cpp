#include "zoo/gpu/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "gpu_testing.h"

namespace zoo::gpu {

// The pointer is inside a struct, where launch() does not look.
struct Hidden {
  float* pointer;
};
__global__ void writes_hidden(Hidden hidden) {
  *hidden.pointer = 1;
}

namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(DeviceMemory, IsAlignedAndNaNAtFirst) {
  Stream stream;
  for (const std::size_t count : {1UL, 63UL, 5000UL}) {
    const DeviceBuffer<float> x(count);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(x.data()) % 256, 0U);
    for (const float value : to_host(x, stream)) ASSERT_TRUE(std::isnan(value));
  }
  EXPECT_EQ(DeviceBuffer<float>(0).data(), nullptr);
}

TEST(DeviceMemory, CopiesKeepTheValues) {
  const std::vector<int> values = {1, -2, 3};
  Stream stream;
  const DeviceBuffer<int> first = to_device(std::span(values), stream);
  DeviceBuffer<int> second(3);
  copy_on_device_async(second.data(), first.data(), first.bytes(), stream);
  EXPECT_EQ(to_host(second, stream), values);
  fill_async(second.data() + 1, 0, sizeof(int), stream);
  EXPECT_THAT(to_host(second, stream), testing::ElementsAre(1, 0, 3));
}

TEST(DeviceMemory, WhatIsAllocatedIsListed) {
  const std::size_t before = device_allocations().size();
  {
    const DeviceBuffer<double> x(5);
    const std::vector<DeviceAllocation> allocations = device_allocations();
    EXPECT_EQ(allocations.size(), before + 1);
    const auto made = std::find_if(allocations.begin(), allocations.end(),
                                   [&](const DeviceAllocation& one) { return one.memory == x.data(); });
    ASSERT_NE(made, allocations.end());
    EXPECT_EQ(made->bytes, 40U);
    EXPECT_THAT(made->file, HasSubstr("memory_test.cpp"));
  }
  EXPECT_EQ(device_allocations().size(), before);
}

TEST(DeviceMemory, SizeIsLimited) {
  std::size_t taken = 0;  // other tests of this process may have left something behind
  for (const DeviceAllocation& allocation : device_allocations()) taken += allocation.bytes;
  Device small = h100();
  small.name = "small";
  small.memory_bytes = taken + 1000;
  const Device usual = device();  // NOLINT(performance-unnecessary-copy-initialization): the original changes
  emulate_device(small);
  EXPECT_THAT(error_of([] {
                const DeviceBuffer<char> first(600);
                const DeviceBuffer<char> second(401);
              }),
              AllOf(HasSubstr("out of memory on small: 401 bytes were asked for at memory_test.cpp:"),
                    HasSubstr(fmt::format("400 of {} are free", small.memory_bytes))));
  emulate_device(usual);
}

TEST(DeviceMemory, FreeingTwiceOrWhatWasNotAllocated) {
  void* memory = device_allocate(16);
  device_free(memory);
  EXPECT_THAT(error_of([&] { device_free(memory); }),
              AllOf(HasSubstr("which was freed before"), HasSubstr("allocation of 16 bytes made at memory_test.cpp:")));
  int local = 0;
  EXPECT_THAT(error_of([&] { device_free(&local); }), HasSubstr("not device memory"));
  DeviceBuffer<int> x(4);
  EXPECT_THAT(error_of([&] { device_free(x.data() + 1); }), HasSubstr("free exactly what device_allocate gave"));
}

TEST(DeviceMemory, WriteAfterFree) {
  const auto write = [] {
    Hidden hidden = {DeviceBuffer<float>(4).data()};
    Stream stream;
    launch(writes_hidden, 1, 1, 0, stream, hidden);
    stream.synchronize();
  };
  if (host::address_sanitizer) {
    EXPECT_DEATH(write(), "use-after-poison");
  } else {
    EXPECT_THAT(error_of(write),
                AllOf(HasSubstr("kernel 'zoo::gpu::writes_hidden': write after free: byte 0 of the freed"),
                      HasSubstr("made at memory_test.cpp:")));
  }
}

TEST(DeviceMemory, CopiesCheckBothSides) {
  Stream stream;
  DeviceBuffer<float> device(4);
  PinnedBuffer<float> pinned(4);
  std::vector<float> pageable(4);
  EXPECT_THAT(error_of([&] { copy_to_device_async(device.data(), pageable.data(), 16, stream); }),
              HasSubstr("copy_to_device_async: the source must be pinned host memory"));
  EXPECT_THAT(error_of([&] { copy_to_device_async(pinned.data(), pinned.data(), 16, stream); }),
              HasSubstr("copy_to_device_async: the destination must be in device memory"));
  EXPECT_THAT(error_of([&] { copy_to_host_async(device.data(), device.data(), 16, stream); }),
              HasSubstr("the destination must be pinned host memory, but is byte 0 of the allocation of 16 bytes"));
  EXPECT_THAT(error_of([&] { copy_to_host_async(pinned.data(), device.data() + 1, 16, stream); }),
              HasSubstr("the source covers 16 bytes from byte 4 of the allocation of 16 bytes"));
  EXPECT_THAT(error_of([&] { copy_to_host_async(pinned.data() + 1, device.data(), 16, stream); }),
              HasSubstr("covers 16 bytes from byte 4 of a pinned block of 16 bytes"));
}

TEST(DeviceMemory, ACopyToTheHostHasNotArrivedBeforeTheStreamIsSynchronised) {
  if (host::race_check) GTEST_SKIP() << "ThreadSanitizer reports the host's early read as the race that it is";
  Stream stream;
  DeviceBuffer<float> device(4);
  PinnedBuffer<float> pinned(4);
  fill_async(device.data(), 0, device.bytes(), stream);
  pinned[2] = 5;
  copy_to_host_async(pinned.data(), device.data(), device.bytes(), stream);
  EXPECT_TRUE(std::isnan(pinned[2]));
  stream.synchronize();
  EXPECT_EQ(pinned[2], 0);
}

}  // namespace
}  // namespace zoo::gpu
