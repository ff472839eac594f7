#include "zoo/core/parallel.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "zoo/core/error.h"

namespace zoo {
namespace {

/// Puts the number of threads back.
struct KeepThreads {
  int before = threads();
  ~KeepThreads() { set_threads(before); }
};

TEST(Parallel, EveryThreadFlushesDenormals) {
  const KeepThreads keep;
  // Fewer and then more: OpenMP ends threads that it does not need and starts new ones later.
  for (const int count : {4, 1, 3, 4}) {
    set_threads(count);
    ASSERT_EQ(threads(), count);
    std::vector<float> products(static_cast<std::size_t>(count), -1);
    parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        volatile float small = std::numeric_limits<float>::min();
        products[static_cast<std::size_t>(i)] = small * 0.5f;
      }
    });
    for (const float product : products) EXPECT_EQ(product, 0);
  }
}

TEST(Parallel, PartsAreDisjointAndCoverAll) {
  const KeepThreads keep;
  for (const int count : {1, 2, 3}) {
    set_threads(count);
    for (const std::int64_t size : {0, 1, 2, 5, 100}) {
      std::vector<int> seen(static_cast<std::size_t>(size), 0);
      parallel_for(size, 2, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
      });
      EXPECT_EQ(seen, std::vector<int>(static_cast<std::size_t>(size), 1));
    }
  }
}

TEST(Parallel, AtLeastOneThread) {
  EXPECT_THROW(set_threads(0), UsageError);
}

}  // namespace
}  // namespace zoo
