#include "words.h"

#include <bit>

#include "gpu_testing.h"

namespace zoo::gpu {
namespace {

TEST(Words, IndicesOfThreadsAndBlocks) {
  Stream stream;
  DeviceBuffer<unsigned> device_indices(8 * 24);
  index_words(device_indices.data(), stream);
  const std::vector<unsigned> indices = to_host(device_indices, stream);
  for (unsigned block = 0; block < 8; ++block) {
    for (unsigned thread = 0; thread < 24; ++thread) {
      EXPECT_EQ(indices[block * 24 + thread], thread % 4 + thread / 4 % 3 * 10 + thread / 12 * 100 +
                                                  1000 * (block % 2 + block / 2 % 2 * 10 + block / 4 * 100));
    }
  }
}

TEST(Words, ShufflesWithinSegments) {
  Stream stream;
  DeviceBuffer<int> device_results(32 * shuffle_results);
  for (const int width : {32, 8}) {
    for (const int by : {0, 1, 3, 9}) {
      shuffle_words(by, width, device_results.data(), stream);
      const std::vector<int> results = to_host(device_results, stream);
      for (int lane = 0; lane < 32; ++lane) {
        const int first = lane / width * width;
        const int last = first + width - 1;
        const int* at = &results[static_cast<std::size_t>(lane * shuffle_results)];
        EXPECT_EQ(at[0], first + by % width) << lane << " of " << width << " by " << by;
        EXPECT_EQ(at[1], lane - by >= first ? lane - by : lane);
        EXPECT_EQ(at[2], lane + by <= last ? lane + by : lane);
        EXPECT_EQ(at[3], (lane ^ by) <= last ? lane ^ by : lane);
      }
    }
  }
}

TEST(Words, VotesOfTheLanesOfAMask) {
  Stream stream;
  DeviceBuffer<int> device_results(vote_results);
  for (const unsigned mask : {0xffffffffU, 0x0000ffffU, 0x00000009U, 0x80000001U, 0x00000006U}) {
    vote_words(mask, device_results.data(), stream);
    const unsigned thirds = 0x49249249;
    const int bits = std::popcount(mask & thirds);
    EXPECT_THAT(to_host(device_results, stream),
                testing::ElementsAre(static_cast<int>(mask & thirds), bits > 0, (mask & ~thirds) == 0, bits, bits));
  }
}

TEST(Words, BarriersCountPredicates) {
  Stream stream;
  for (const unsigned threads : {1U, 40U}) {
    DeviceBuffer<int> device_results(threads * barrier_results);
    for (const unsigned below : {0U, 1U, threads}) {
      barrier_words(threads, below, device_results.data(), stream);
      const std::vector<int> results = to_host(device_results, stream);
      for (std::size_t at = 0; at < results.size(); at += barrier_results) {
        EXPECT_EQ(results[at], static_cast<int>(below));
        EXPECT_EQ(results[at + 1], below == threads);
        EXPECT_EQ(results[at + 2], below > 0);
      }
    }
  }
}

TEST(Words, AtomicsLoseNothing) {
  Stream stream;
  DeviceBuffer<AtomicResults> device_results(1);
  fill_async(device_results.data(), 0, device_results.bytes(), stream);
  atomic_words(4, device_results.data(), stream);
  const AtomicResults results = to_host(device_results, stream)[0];
  EXPECT_EQ(results.sum, 127 * 64);
  EXPECT_EQ(results.largest, 127);
  EXPECT_EQ(results.smallest, -127);
  EXPECT_EQ(results.exchanged, 7);
  EXPECT_EQ(results.swapped, 128);
  EXPECT_EQ(results.unsigned_sum, 128U);
  EXPECT_EQ(results.long_sum, 128ULL << 32);
  EXPECT_EQ(results.float_sum, 64);
  EXPECT_EQ(results.double_sum, 32);
}

TEST(Words, VectorsAndNumbers) {
  const std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8};
  Stream stream;
  const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
  DeviceBuffer<float> device_y(8);
  vector_words(device_x.data(), device_y.data(), stream);
  EXPECT_EQ(to_host(device_y, stream), x);
}

}  // namespace
}  // namespace zoo::gpu
