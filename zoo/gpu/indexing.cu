#include "zoo/gpu/each.h"
#include "zoo/gpu/indexing.h"

namespace zoo::gpu {

namespace {

constexpr const char* family = "indexing";

struct GatherRows {
  const std::uint32_t* x;
  int words;
  const std::int32_t* indices;
  std::uint32_t* y;

  __device__ void operator()(int i) const {
    y[i] = x[static_cast<std::ptrdiff_t>(indices[i / words]) * words + i % words];
  }
};

struct SumListedRows {
  const float* x;
  int row_size;
  const std::int32_t* starts;
  const std::int32_t* order;
  float* y;

  __device__ void operator()(int i) const {
    const int row = i / row_size;
    const int column = i % row_size;
    float sum = 0;
    for (int k = starts[row]; k < starts[row + 1]; ++k)
      sum += x[static_cast<std::ptrdiff_t>(order[k]) * row_size + column];
    y[i] = sum;
  }
};

}  // namespace

void gather_rows(const std::uint32_t* x, std::int64_t words, const std::int32_t* indices, std::int64_t count,
                 std::uint32_t* y, Stream& stream) {
  launch_each(family, words * count, GatherRows{x, extent(family, "a row", words), indices, y}, stream);
}

void sum_listed_rows(const float* x, std::int64_t row_size, const std::int32_t* starts, const std::int32_t* order,
                     float* y, std::int64_t rows, Stream& stream) {
  launch_each(family, rows * row_size, SumListedRows{x, extent(family, "a row", row_size), starts, order, y}, stream);
}

}  // namespace zoo::gpu
