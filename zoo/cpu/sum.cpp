#include <algorithm>
#include <array>
#include <type_traits>

#include "zoo/core/pool.h"
#include "zoo/cpu/partition.h"
#include "zoo/cpu/reductions.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/sum.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

// Sum of neighbours, in four chains of vectors.
template <typename T>
HWY_INLINE T sum_run(const T* x, std::int64_t count) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto sum0 = hn::Zero(d);
  auto sum1 = hn::Zero(d);
  auto sum2 = hn::Zero(d);
  auto sum3 = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    sum0 = hn::Add(sum0, hn::LoadU(d, x + i));
    sum1 = hn::Add(sum1, hn::LoadU(d, x + i + lanes));
    sum2 = hn::Add(sum2, hn::LoadU(d, x + i + 2 * lanes));
    sum3 = hn::Add(sum3, hn::LoadU(d, x + i + 3 * lanes));
  }
  for_vectors(d, count - i, [&](std::int64_t j, auto part) HWY_ATTR { sum0 = hn::Add(sum0, part.load(d, x + i + j)); });
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
}

template <typename T>
void sum_runs(const T* x, std::int64_t step, std::int64_t count, std::int64_t runs, T* y) {
  for (std::int64_t run = 0; run < runs; ++run) y[run] = sum_run(x + run * step, count);
}

// y[i] = sum over `count` rows, `step` apart, of x[row][i] for i in [0, columns): eight rows at a time, each read in
// order, added to y, which stays in the first-level cache.
template <typename T>
void sum_columns(const T* x, std::int64_t step, std::int64_t count, std::int64_t columns, T* y) {
  const hn::ScalableTag<T> d;
  std::fill_n(y, columns, T{0});
  std::int64_t k = 0;
  for (; k + 8 <= count; k += 8) {
    const T* rows = x + k * step;
    for_vectors(d, columns, [=](std::int64_t i, auto part) HWY_ATTR {
      const T* at = rows + i;
      const auto sum01 = hn::Add(part.load(d, at), part.load(d, at + step));
      const auto sum23 = hn::Add(part.load(d, at + 2 * step), part.load(d, at + 3 * step));
      const auto sum45 = hn::Add(part.load(d, at + 4 * step), part.load(d, at + 5 * step));
      const auto sum67 = hn::Add(part.load(d, at + 6 * step), part.load(d, at + 7 * step));
      const auto sum = hn::Add(hn::Add(sum01, sum23), hn::Add(sum45, sum67));
      part.store(hn::Add(part.load(d, y + i), sum), d, y + i);
    });
  }
  for (; k < count; ++k) {
    const T* row = x + k * step;
    for_vectors(d, columns, [=](std::int64_t i, auto part) HWY_ATTR {
      part.store(hn::Add(part.load(d, y + i), part.load(d, row + i)), d, y + i);
    });
  }
}

void sum_runs_f32(const float* x, std::int64_t step, std::int64_t count, std::int64_t runs, float* y) {
  sum_runs(x, step, count, runs, y);
}

void sum_runs_f64(const double* x, std::int64_t step, std::int64_t count, std::int64_t runs, double* y) {
  sum_runs(x, step, count, runs, y);
}

void sum_columns_f32(const float* x, std::int64_t step, std::int64_t count, std::int64_t columns, float* y) {
  sum_columns(x, step, count, columns, y);
}

void sum_columns_f64(const double* x, std::int64_t step, std::int64_t count, std::int64_t columns, double* y) {
  sum_columns(x, step, count, columns, y);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(sum_runs_f32);
HWY_EXPORT(sum_runs_f64);
HWY_EXPORT(sum_columns_f32);
HWY_EXPORT(sum_columns_f64);

namespace {

// Longer sums are cut into blocks of this many terms, whose sums are then added: more threads find work, and rounding
// errors grow with the number of blocks plus the length of one instead of with the number of terms.
constexpr std::int64_t run_block = 4096;
constexpr std::int64_t column_block = 512;
// Columns that one call sums: 8 KiB of each row in float.
constexpr std::int64_t strip = 2048;

template <typename T>
void sum_runs(const T* x, std::int64_t step, std::int64_t count, std::int64_t runs, T* y) {
  if constexpr (std::is_same_v<T, float>) {
    HWY_DYNAMIC_DISPATCH(sum_runs_f32)(x, step, count, runs, y);
  } else {
    HWY_DYNAMIC_DISPATCH(sum_runs_f64)(x, step, count, runs, y);
  }
}

template <typename T>
void sum_columns(const T* x, std::int64_t step, std::int64_t count, std::int64_t columns, T* y) {
  if constexpr (std::is_same_v<T, float>) {
    HWY_DYNAMIC_DISPATCH(sum_columns_f32)(x, step, count, columns, y);
  } else {
    HWY_DYNAMIC_DISPATCH(sum_columns_f64)(x, step, count, columns, y);
  }
}

template <typename T>
void sum_innermost(std::int64_t outer, std::int64_t count, const T* x, T* y) {
  if (count <= run_block) {
    for_rows(outer, count, [=](std::int64_t begin, std::int64_t end) {
      sum_runs(x + begin * count, count, count, end - begin, y + begin);
    });
    return;
  }
  const std::int64_t blocks = (count + run_block - 1) / run_block;
  PoolVector<T> partial(static_cast<std::size_t>(outer * blocks));
  T* sums = partial.data();
  for_rows(outer * blocks, run_block, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t first = task % blocks * run_block;
      sum_runs(x + task / blocks * count + first, 0, std::min(run_block, count - first), 1, sums + task);
    }
  });
  sum_innermost(outer, blocks, sums, y);
}

template <typename T>
void sum_outer(const AxisExtents& extents, const T* x, T* y) {
  const auto [outer, count, inner] = extents;
  const std::int64_t blocks = std::max<std::int64_t>((count + column_block - 1) / column_block, 1);
  const std::int64_t strips = (inner + strip - 1) / strip;
  PoolVector<T> partial(static_cast<std::size_t>(blocks > 1 ? outer * blocks * inner : 0));
  T* sums = blocks > 1 ? partial.data() : y;
  for_rows(outer * blocks * strips, std::min(count, column_block) * std::min(inner, strip),
           [=, count = count, inner = inner](std::int64_t begin, std::int64_t end) {
             for (std::int64_t task = begin; task < end; ++task) {
               const std::int64_t column = task % strips * strip;
               const std::int64_t block = task / strips;  // of outer * blocks
               const std::int64_t first = block % blocks * column_block;
               sum_columns(x + (block / blocks * count + first) * inner + column, inner,
                           std::min(column_block, count - first), std::min(strip, inner - column),
                           sums + block * inner + column);
             }
           });
  if (blocks > 1) sum_outer({outer, blocks, inner}, sums, y);
}

}  // namespace

template <typename T>
void sum(const AxisExtents& extents, const T* x, T* y) {
  if (extents.inner == 1) {
    sum_innermost(extents.outer, extents.count, x, y);
  } else {
    sum_outer(extents, x, y);
  }
}

template void sum(const AxisExtents&, const float*, float*);
template void sum(const AxisExtents&, const double*, double*);

}  // namespace zoo::cpu

#endif  // HWY_ONCE
