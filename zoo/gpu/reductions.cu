#include <utility>

#include "zoo/gpu/each.h"
#include "zoo/gpu/memory.h"
#include "zoo/gpu/reductions.h"
#include "zoo/gpu/warp.h"

namespace zoo::gpu {

namespace {

constexpr const char* family = "reductions";
constexpr int threads = 256;
constexpr int chunk_of_row = 2048;    // elements of a row that a warp adds up
constexpr int chunk_of_column = 128;  // elements of a column that a thread adds up

struct Extents {
  int outer;
  int count;
  int inner;

  explicit Extents(const cpu::AxisExtents& extents)
      : outer(extent(family, "outer", extents.outer)),
        count(extent(family, "count", extents.count)),
        inner(extent(family, "inner", extents.inner)) {}

  // An array of sums, one for each chunk: what is left to add up.
  int chunk() const { return inner == 1 ? chunk_of_row : chunk_of_column; }
  int chunks() const { return count / chunk() + (count % chunk() > 0 ? 1 : 0); }
  std::int64_t columns() const { return static_cast<std::int64_t>(outer) * inner; }

  __device__ std::ptrdiff_t origin(int column) const {
    return static_cast<std::ptrdiff_t>(column / inner) * count * inner + column % inner;
  }
};

// y [outer, chunks]: a warp a chunk of a row.
__global__ void __launch_bounds__(threads)
    sum_rows_kernel(const float* __restrict__ x, int rows, int count, int chunks, float* __restrict__ y) {
  const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(blockIdx.x) * (threads / 32) + threadIdx.x / 32;
  if (at >= static_cast<std::ptrdiff_t>(rows) * chunks) return;
  const auto row = at / chunks;
  const int first = static_cast<int>(at % chunks) * chunk_of_row;
  const int end = min(count, first + chunk_of_row);
  float sum = 0;
  for (int i = first + static_cast<int>(threadIdx.x % 32); i < end; i += 32) sum += x[row * count + i];
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) y[at] = sum;
}

// y [outer, chunks, inner]: a thread a chunk of a column.
struct SumColumns {
  Extents extents;
  int chunks;
  const float* x;
  float* y;

  __device__ void operator()(int i) const {
    const int inner = i % extents.inner;
    const int chunk = i / extents.inner % chunks;
    const int outer = i / extents.inner / chunks;
    const int first = chunk * chunk_of_column;
    const int end = min(extents.count, first + chunk_of_column);
    const float* column = x + static_cast<std::ptrdiff_t>(outer) * extents.count * extents.inner + inner;
    float sum = 0;
    for (int k = first; k < end; ++k) sum += column[static_cast<std::ptrdiff_t>(k) * extents.inner];
    y[i] = sum;
  }
};

// One pass: sums of chunks.
void sum_chunks(const Extents& extents, const float* x, float* y, Stream& stream) {
  const int chunks = extents.chunks();
  if (extents.inner != 1) {
    launch_each(family, extents.columns() * chunks, SumColumns{extents, chunks, x, y}, stream);
    return;
  }
  const int sums = extent(family, "the number of sums", extents.columns() * chunks);
  constexpr int a_block = threads / 32;
  launch(sum_rows_kernel, static_cast<unsigned>(sums / a_block + (sums % a_block > 0 ? 1 : 0)), threads, 0, stream, x,
         extents.outer, extents.count, chunks, y);
}

// Elements of x that follow the first, in order.
struct Max {
  Extents extents;
  const float* x;
  float* y;

  __device__ void operator()(int i) const {
    const float* column = x + extents.origin(i);
    float best = column[0];
    for (int k = 1; k < extents.count; ++k) {
      const float value = column[static_cast<std::ptrdiff_t>(k) * extents.inner];
      // A NaN takes the place, and then nothing is greater than it.
      if (value > best || value != value) best = value;
    }
    y[i] = best;
  }
};

__device__ __forceinline__ bool same(float value, float best) {
  return value == best || (value != value && best != best);
}

struct FirstMaxMask {
  Extents extents;
  const float* x;
  const float* largest;
  float* mask;

  __device__ void operator()(int i) const {
    const std::ptrdiff_t origin = extents.origin(i);
    bool found = false;
    for (int k = 0; k < extents.count; ++k) {
      const std::ptrdiff_t at = origin + static_cast<std::ptrdiff_t>(k) * extents.inner;
      const bool first = !found && same(x[at], largest[i]);
      mask[at] = first ? 1.0F : 0.0F;
      found = found || first;
    }
  }
};

struct ArgMax {
  int count;
  const float* x;
  std::int32_t* y;

  __device__ void operator()(int i) const {
    const float* row = x + static_cast<std::ptrdiff_t>(i) * count;
    int best = 0;
    for (int k = 1; k < count; ++k) {
      const bool nan_already = row[best] != row[best];
      if (row[k] > row[best] || (row[k] != row[k] && !nan_already)) best = k;
    }
    y[i] = best;
  }
};

struct Cumsum {
  Extents extents;
  const float* x;
  bool reverse;
  float* y;

  __device__ void operator()(int i) const {
    const std::ptrdiff_t origin = extents.origin(i);
    float sum = 0;
    for (int k = 0; k < extents.count; ++k) {
      const int step = reverse ? extents.count - 1 - k : k;
      const std::ptrdiff_t at = origin + static_cast<std::ptrdiff_t>(step) * extents.inner;
      sum = k == 0 ? x[at] : sum + x[at];
      y[at] = sum;
    }
  }
};

}  // namespace

void sum(const cpu::AxisExtents& extents, const float* x, float* y, float* scratch, Stream& stream) {
  Extents left(extents);
  if (left.columns() == 0) return;
  if (left.count == 0) {
    fill_async(y, 0, static_cast<std::size_t>(left.columns()) * sizeof(float), stream);
    return;
  }
  // Until one chunk is left of each column, whose sum is the result.
  while (left.chunks() > 1) {
    sum_chunks(left, x, scratch, stream);
    x = scratch;
    left.count = left.chunks();
    scratch += left.columns() * left.count;
  }
  sum_chunks(left, x, y, stream);
}

std::int64_t sum_scratch(const cpu::AxisExtents& extents) {
  Extents left(extents);
  std::int64_t total = 0;
  while (left.chunks() > 1) {
    left.count = left.chunks();
    total += left.columns() * left.count;
  }
  return total;
}

void max(const cpu::AxisExtents& extents, const float* x, float* y, Stream& stream) {
  const Extents sizes(extents);
  launch_each(family, sizes.columns(), Max{sizes, x, y}, stream);
}

void first_max_mask(const cpu::AxisExtents& extents, const float* x, const float* largest, float* mask,
                    Stream& stream) {
  const Extents sizes(extents);
  launch_each(family, sizes.columns(), FirstMaxMask{sizes, x, largest, mask}, stream);
}

void argmax(const cpu::AxisExtents& extents, const float* x, std::int32_t* y, Stream& stream) {
  const Extents sizes(extents);
  launch_each(family, sizes.columns(), ArgMax{sizes.count, x, y}, stream);
}

void cumsum(const cpu::AxisExtents& extents, const float* x, bool reverse, float* y, Stream& stream) {
  const Extents sizes(extents);
  launch_each(family, sizes.columns(), Cumsum{sizes, x, reverse, y}, stream);
}

}  // namespace zoo::gpu
