#include "zoo/gpu/graph.h"

#include <optional>

#include "gpu_testing.h"

namespace zoo::gpu {

__global__ void add_to_all(float* x, float by) {
  x[threadIdx.x] += by;
}
__global__ void copy_all(const float* x, float* y) {
  y[threadIdx.x] = x[threadIdx.x];
}
__global__ void writes_beyond(float* x) {
  x[8] = 1;
}

namespace {

using testing::Each;
using testing::HasSubstr;

constexpr unsigned count = 8;

struct Numbers {
  Stream stream;
  DeviceBuffer<float> x{count};

  Numbers() { fill_async(x.data(), 0, x.bytes(), stream); }
  void add(float by) { launch(add_to_all, 1, count, 0, stream, x.data(), by); }
  std::vector<float> values() { return to_host(x, stream); }
};

TEST(Graph, DoesItsWorkAtEachLaunchAndNotBefore) {
  Numbers numbers;
  Graph graph;
  graph.record(numbers.stream);
  numbers.add(1);
  numbers.add(2);
  EXPECT_TRUE(graph.finish(numbers.stream));
  EXPECT_TRUE(graph.built());
  EXPECT_EQ(graph.size(), 2U);
  EXPECT_THAT(numbers.values(), Each(0)) << "recorded, not done";
  graph.launch(numbers.stream);
  EXPECT_THAT(numbers.values(), Each(3));
  graph.launch(numbers.stream);
  numbers.add(10);
  graph.launch(numbers.stream);
  EXPECT_THAT(numbers.values(), Each(19));
}

TEST(Graph, KeepsWhatItsWorkWasGiven) {
  Numbers numbers;
  Graph graph;
  {
    float by = 5;
    graph.record(numbers.stream);
    numbers.add(by);
    by = 100;
    EXPECT_TRUE(graph.finish(numbers.stream));
  }
  graph.launch(numbers.stream);
  EXPECT_THAT(numbers.values(), Each(5));
}

TEST(Graph, OfTheSameWorkIsChangedAndOfOtherWorkBuiltAnew) {
  Numbers numbers;
  DeviceBuffer<float> y(count);
  Graph graph;
  const auto record = [&](const auto& give) {
    graph.record(numbers.stream);
    give();
    EXPECT_TRUE(graph.finish(numbers.stream));
    graph.launch(numbers.stream);
    return graph.built();
  };
  EXPECT_TRUE(record([&] { numbers.add(1); }));
  EXPECT_FALSE(record([&] { numbers.add(7); })) << "another argument";
  EXPECT_FALSE(record([&] { launch(copy_all, 1, count, 0, numbers.stream, numbers.x.data(), y.data()); }))
      << "another kernel";
  EXPECT_TRUE(record([&] { copy_on_device_async(y.data(), numbers.x.data(), y.bytes(), numbers.stream); }));
  EXPECT_TRUE(record([&] { fill_async(y.data(), 0, y.bytes(), numbers.stream); }));
  EXPECT_TRUE(record([&] {
    numbers.add(1);
    numbers.add(1);
  }));
  EXPECT_THAT(numbers.values(), Each(10)) << "each recording was launched once";
}

TEST(Graph, OfNothingIsWhatItWas) {
  Numbers numbers;
  Graph graph;
  graph.record(numbers.stream);
  numbers.add(1);
  EXPECT_TRUE(graph.finish(numbers.stream));
  graph.record(numbers.stream);
  EXPECT_FALSE(graph.finish(numbers.stream));
  graph.launch(numbers.stream);
  EXPECT_THAT(numbers.values(), Each(1));
}

// Copies from pinned memory happen at the launch, from what is there then.
TEST(Graph, CopiesFromTheHostAtItsLaunch) {
  Numbers numbers;
  PinnedBuffer<float> pinned(count);
  std::fill(pinned.begin(), pinned.end(), 1.0F);
  Graph graph;
  graph.record(numbers.stream);
  copy_to_device_async(numbers.x.data(), pinned.data(), pinned.bytes(), numbers.stream);
  EXPECT_TRUE(graph.finish(numbers.stream));
  std::fill(pinned.begin(), pinned.end(), 2.0F);
  graph.launch(numbers.stream);
  EXPECT_THAT(numbers.values(), Each(2));
}

TEST(GraphRules, NobodyWaitsForAStreamThatRecords) {
  Numbers numbers;
  Graph graph;
  graph.record(numbers.stream);
  numbers.add(1);
  EXPECT_THAT(error_of([&] { numbers.stream.synchronize(); }), HasSubstr("records a graph was waited for"));
  EXPECT_THAT(error_of([&] { numbers.values(); }), HasSubstr("records a graph was waited for"));
  EXPECT_TRUE(graph.finish(numbers.stream));
  EXPECT_EQ(graph.size(), 2U) << "the kernel, and the copy that was to be waited for";
}

TEST(GraphRules, EventsAreNotRecorded) {
  Numbers numbers;
  Event event;
  event.record(numbers.stream);
  Graph graph;
  graph.record(numbers.stream);
  EXPECT_THAT(error_of([&] { Event().record(numbers.stream); }), HasSubstr("event was given to a stream that records"));
  EXPECT_THAT(error_of([&] { numbers.stream.wait(event); }), HasSubstr("event was given to a stream that records"));
  EXPECT_FALSE(graph.finish(numbers.stream));
}

TEST(GraphRules, DeviceMemoryIsNeitherAllocatedNorFreed) {
  Numbers numbers;
  std::optional<DeviceBuffer<float>> other(count);
  void* memory = device_allocate(16);
  Graph graph;
  graph.record(numbers.stream);
  numbers.add(1);
  EXPECT_THAT(error_of([] { DeviceBuffer<float> more(1); }), HasSubstr("allocated while a stream records"));
  EXPECT_THAT(error_of([&] { device_free(memory); }), HasSubstr("freed while a stream records"));
  other.reset();  // must not throw: the next synchronize() does
  EXPECT_TRUE(graph.finish(numbers.stream));
  graph.launch(numbers.stream);
  EXPECT_THAT(error_of([&] { numbers.stream.synchronize(); }), HasSubstr("freed while a stream records"));
  EXPECT_THAT(numbers.values(), Each(1));
  device_free(memory);
}

TEST(GraphRules, RecordingsBeginAndEndInPairs) {
  Numbers numbers;
  Graph graph, other;
  EXPECT_THAT(error_of([&] { graph.finish(numbers.stream); }), HasSubstr("does not record"));
  graph.record(numbers.stream);
  EXPECT_THAT(error_of([&] { other.record(numbers.stream); }), HasSubstr("records already"));
  EXPECT_FALSE(graph.finish(numbers.stream));
}

TEST(GraphRules, AStreamMayEndWhileItRecords) {
  DeviceBuffer<float> x(count);
  Graph graph;
  {
    Stream stream;
    graph.record(stream);
    launch(add_to_all, 1, count, 0, stream, x.data(), 1.0F);
  }
  EXPECT_EQ(graph.size(), 0U);
  Stream other;
  EXPECT_NO_THROW(other.synchronize());
}

// As any launch.
TEST(GraphFaults, AreReportedWithTheKernelsName) {
  const auto fault = [] {
    Numbers numbers;
    Graph graph;
    graph.record(numbers.stream);
    launch(writes_beyond, 1, 1, 0, numbers.stream, numbers.x.data());
    EXPECT_TRUE(graph.finish(numbers.stream));
    graph.launch(numbers.stream);
    return error_of([&] { numbers.stream.synchronize(); });
  };
  if (host::address_sanitizer) {
    EXPECT_DEATH(fault(), "use-after-poison");
    return;
  }
  EXPECT_THAT(fault(), HasSubstr("writes_beyond"));
}

// Work of two streams, neither of which waits for the other: within a graph it mixes as outside of one.
TEST(GraphFaults, AMissingEventShows) {
  const auto right = [] {
    Stream one, two;
    DeviceBuffer<float> x(count), y(count);
    fill_async(x.data(), 0, x.bytes(), one);
    one.synchronize();
    Graph graph;
    graph.record(one);
    launch(add_to_all, 1, count, 0, one, x.data(), 1.0F);
    EXPECT_TRUE(graph.finish(one));
    graph.launch(one);
    launch(copy_all, 1, count, 0, two, static_cast<const float*>(x.data()), y.data());
    const std::vector<float> seen = to_host(y, two);
    one.synchronize();
    return seen == std::vector<float>(count, 1.0F);
  };
  // The race is found in the kernel that comes second, whichever that is.
  if constexpr (host::race_check) {
    EXPECT_THAT(error_of(right), HasSubstr("race: "));
  } else {
    EXPECT_LT(times_right(right), schedules);
  }
}

}  // namespace
}  // namespace zoo::gpu
