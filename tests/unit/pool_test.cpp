#include "zoo/core/pool.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <thread>

namespace zoo {
namespace {

TEST(Pool, BlocksAreAlignedAndDoNotOverlap) {
  std::vector<std::pair<unsigned char*, std::size_t>> blocks;
  for (const std::size_t bytes : {0UL, 1UL, 63UL, 64UL, 65UL, 511UL, 513UL, 1000UL, 4097UL, 1000000UL, 5000000UL}) {
    auto* block = static_cast<unsigned char*>(pool_allocate(bytes));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 64, 0U) << bytes;
    std::memset(block, static_cast<int>(blocks.size()), bytes);
    blocks.emplace_back(block, bytes);
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    for (std::size_t at = 0; at < blocks[i].second; ++at) ASSERT_EQ(blocks[i].first[at], i);
    pool_free(blocks[i].first, blocks[i].second);
  }
}

TEST(Pool, TheLastFreedBlockOfAClassIsReusedFirst) {
  if (!pool_reuses_blocks()) GTEST_SKIP() << "under AddressSanitizer no block is reused";
  void* first = pool_allocate(1000);
  pool_free(first, 1000);
  const std::uint64_t before = pool_statistics().system_allocations;
  void* second = pool_allocate(1010);  // the same class: multiples of 64 bytes
  EXPECT_EQ(second, first);
  EXPECT_EQ(pool_statistics().system_allocations, before);
  pool_free(second, 1010);
}

TEST(Pool, WastesAtMostAnEighth) {
  for (std::size_t bytes = 512; bytes < 5'000'000; bytes = bytes * 9 / 8 + 1) {
    const std::size_t before = pool_statistics().bytes_in_use;
    void* block = pool_allocate(bytes);
    const std::size_t used = pool_statistics().bytes_in_use - before;
    EXPECT_GE(used, bytes);
    EXPECT_LE(used, bytes + bytes / 8 + 64);
    pool_free(block, bytes);
  }
}

TEST(Pool, WhatNoMachineHasIsRefusedAndNotCounted) {
  const PoolStatistics before = pool_statistics();
  for (const std::size_t bytes :
       {std::size_t{1} << 47, std::size_t{1} << 62, std::numeric_limits<std::size_t>::max()}) {
    EXPECT_THROW(pool_allocate(bytes), std::bad_alloc) << bytes;
  }
  EXPECT_EQ(pool_statistics().bytes_in_use, before.bytes_in_use);
  EXPECT_EQ(pool_statistics().bytes_from_system, before.bytes_from_system);
}

TEST(Pool, PeakIsOfWhatWasInUseSinceTheReset) {
  reset_pool_peak();
  const std::size_t before = pool_statistics().bytes_in_use;
  pool_free(pool_allocate(1 << 20), 1 << 20);
  EXPECT_EQ(pool_statistics().bytes_in_use, before);
  EXPECT_GE(pool_statistics().peak_bytes_in_use, before + (1 << 20));
  reset_pool_peak();
  EXPECT_EQ(pool_statistics().peak_bytes_in_use, before);
}

TEST(Pool, GuardFindsAWriteBeyondTheEndAndBeforeTheBeginning) {
  const PoolGuard guard;
  const std::uint64_t before = pool_guard_violations();
  for (const std::ptrdiff_t at : {std::ptrdiff_t{100}, std::ptrdiff_t{-1}}) {
    auto* block = static_cast<unsigned char*>(pool_allocate(100));
    block[at] = 0;
    pool_free(block, 100);
  }
  EXPECT_EQ(pool_guard_violations(), before + 2);
  auto* block = static_cast<float*>(pool_allocate(100));
  EXPECT_TRUE(block[3] != block[3]) << "fresh memory is NaN";
  pool_free(block, 100);
  EXPECT_EQ(pool_guard_violations(), before + 2);
}

TEST(Pool, ThreadsShareIt) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 2000; ++i) {
        const std::size_t bytes = static_cast<std::size_t>(64 + i % 900);
        auto* block = static_cast<unsigned char*>(pool_allocate(bytes));
        std::memset(block, t, bytes);
        ASSERT_EQ(block[bytes - 1], t);
        pool_free(block, bytes);
      }
    });
  }
}

}  // namespace
}  // namespace zoo
