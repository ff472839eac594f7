#include "zoo/cpu/shape.h"

#include <algorithm>
#include <cstring>

#include "zoo/cpu/partition.h"

namespace zoo::cpu {

namespace {

// A tile of 32 x 32 doubles takes 8 KiB of the first-level cache.
constexpr std::int64_t tile = 32;

// One tile of a transposition: result rows `step_y` apart run along x's stride, x's rows are neighbours. By way of a
// buffer, so that each cache line of x is read once: rows a power of two apart would push each other out of the cache.
template <typename T>
void copy_tile(const T* x, std::int64_t stride, T* y, std::int64_t step_y, std::int64_t rows, std::int64_t count) {
  T buffer[tile][tile + 1];
  for (std::int64_t j = 0; j < count; ++j) std::copy_n(x + j * stride, rows, buffer[j]);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < count; ++j) y[i * step_y + j] = buffer[j][i];
  }
}

// The axis along which x's elements are neighbours, when that is not the innermost one of the result; else -1.
int neighbour_axis(const StridedLoops<1>& loops) {
  if (loops.strides[0][loops.last()] <= 1) return -1;
  for (int axis = 0; axis + 1 < loops.rank; ++axis) {
    if (loops.strides[0][static_cast<std::size_t>(axis)] == 1) return axis;
  }
  return -1;
}

// Copies by tiles over the innermost axis of the result and the axis along which x's elements are neighbours.
template <typename T>
void copy_transposed(const StridedLoops<1>& loops, int axis, const T* x, T* y) {
  const auto across = static_cast<std::size_t>(axis);
  const std::int64_t stride = loops.strides[0][loops.last()];
  const std::int64_t inner = loops.inner();
  std::int64_t step_y = inner;
  for (std::size_t k = across + 1; k < loops.last(); ++k) step_y *= loops.extents[k];
  // The loops that are left: one row of them for each bundle of rows across.
  StridedLoops<1> outer = loops;
  const std::int64_t rows_across = loops.extents[across];
  const std::int64_t bands = (rows_across + tile - 1) / tile;
  outer.extents[across] = bands;
  outer.strides[0][across] = tile;
  for_rows(outer.rows(), inner * std::min(tile, rows_across), [&](std::int64_t begin, std::int64_t end) {
    outer.for_each_row(begin, end, [&](std::int64_t row, const auto& offsets) {
      // Which band this is, and where its first element lies in the result.
      std::int64_t after = 1;
      for (std::size_t k = across + 1; k < outer.last(); ++k) after *= outer.extents[k];
      const std::int64_t band = row / after % bands;
      const std::int64_t first = (row / after / bands * rows_across + band * tile) * after + row % after;
      const std::int64_t rows = std::min(tile, rows_across - band * tile);
      for (std::int64_t j = 0; j < inner; j += tile) {
        copy_tile(x + offsets[0] + j * stride, stride, y + first * inner + j, step_y, rows, std::min(tile, inner - j));
      }
    });
  });
}

}  // namespace

void copy_runs(const void* from, std::size_t from_step, void* to, std::size_t to_step, std::size_t bytes,
               std::int64_t count) {
  if (bytes == 0) return;
  for_rows(count, static_cast<std::int64_t>(bytes / 4), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto run = static_cast<std::size_t>(i);
      std::memcpy(static_cast<std::byte*>(to) + run * to_step, static_cast<const std::byte*>(from) + run * from_step,
                  bytes);
    }
  });
}

template <typename T>
void copy_strided(const Shape& shape, const T* x, const Strides& strides, T* y) {
  const StridedLoops<1> loops(shape, {strides});
  if (shape.size() == 0) return;
  if (const int axis = neighbour_axis(loops); axis >= 0) return copy_transposed(loops, axis, x, y);
  const std::int64_t inner = loops.inner();
  const std::int64_t stride = loops.strides[0][loops.last()];
  for_rows(loops.rows(), inner, [&](std::int64_t begin, std::int64_t end) {
    loops.for_each_row(begin, end, [&](std::int64_t row, const auto& offsets) {
      const T* from = x + offsets[0];
      T* to = y + row * inner;
      if (stride == 1) {
        std::copy_n(from, inner, to);
      } else if (stride == 0) {
        std::fill_n(to, inner, *from);
      } else {
        for (std::int64_t i = 0; i < inner; ++i) to[i] = from[i * stride];
      }
    });
  });
}

template void copy_strided(const Shape&, const float*, const Strides&, float*);
template void copy_strided(const Shape&, const double*, const Strides&, double*);
template void copy_strided(const Shape&, const std::int32_t*, const Strides&, std::int32_t*);

}  // namespace zoo::cpu
