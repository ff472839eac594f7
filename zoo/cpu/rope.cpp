#include "zoo/cpu/rope.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "zoo/core/pool.h"
#include "zoo/cpu/partition.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/rope.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/vector_loop-inl.h"
#include "zoo/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

// Cosines and sines of position * frequencies[i].
void turn(double position, const double* frequencies, std::int64_t pairs, double* cosines, double* sines) {
  const hn::ScalableTag<double> d;
  const auto by = hn::Set(d, position);
  for_vectors(d, pairs, [=](std::int64_t i, auto part) HWY_ATTR {
    const auto angle = hn::Mul(by, part.load(d, frequencies + i));
    part.store(math::Cos(d, angle), d, cosines + i);
    part.store(math::Sin(d, angle), d, sines + i);
  });
}

template <typename T>
HWY_INLINE void rotate_halves(const T* x, const T* cosines, const T* sines, T sign, std::int64_t pairs, T* y) {
  const hn::ScalableTag<T> d;
  const auto direction = hn::Set(d, sign);
  for_vectors(d, pairs, [=](std::int64_t i, auto part) HWY_ATTR {
    const auto first = part.load(d, x + i);
    const auto second = part.load(d, x + pairs + i);
    const auto cosine = part.load(d, cosines + i);
    const auto sine = hn::Mul(direction, part.load(d, sines + i));
    part.store(hn::Sub(hn::Mul(first, cosine), hn::Mul(second, sine)), d, y + i);
    part.store(hn::Add(hn::Mul(second, cosine), hn::Mul(first, sine)), d, y + pairs + i);
  });
}

template <typename T>
HWY_INLINE void rotate_neighbours(const T* x, const T* cosines, const T* sines, T sign, std::int64_t pairs, T* y) {
  for (std::int64_t i = 0; i < pairs; ++i) {
    const T sine = sign * sines[i];
    const T first = x[2 * i];
    const T second = x[2 * i + 1];
    y[2 * i] = first * cosines[i] - second * sine;
    y[2 * i + 1] = second * cosines[i] + first * sine;
  }
}

template <typename T>
void rope_rows(const RopeExtents& extents, std::int64_t begin, std::int64_t end, const T* x, const T* cosines,
               const T* sines, bool interleaved, bool inverse, T* y) {
  const auto [rows, table_rows, heads, pairs] = extents;
  const T sign = inverse ? T{-1} : T{1};
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t table = row % table_rows * pairs;
    for (std::int64_t head = 0; head < heads; ++head) {
      const std::int64_t at = (row * heads + head) * 2 * pairs;
      if (interleaved) {
        rotate_neighbours(x + at, cosines + table, sines + table, sign, pairs, y + at);
      } else {
        rotate_halves(x + at, cosines + table, sines + table, sign, pairs, y + at);
      }
    }
  }
}

void rope_f32(const RopeExtents& extents, std::int64_t begin, std::int64_t end, const float* x, const float* cosines,
              const float* sines, bool interleaved, bool inverse, float* y) {
  rope_rows(extents, begin, end, x, cosines, sines, interleaved, inverse, y);
}

void rope_f64(const RopeExtents& extents, std::int64_t begin, std::int64_t end, const double* x, const double* cosines,
              const double* sines, bool interleaved, bool inverse, double* y) {
  rope_rows(extents, begin, end, x, cosines, sines, interleaved, inverse, y);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(turn);
HWY_EXPORT(rope_f32);
HWY_EXPORT(rope_f64);

template <typename T>
void rope_table(const std::int64_t* positions, std::int64_t rows, std::int64_t pairs, double base, T* cosines,
                T* sines) {
  PoolVector<double> memory(static_cast<std::size_t>(pairs));
  double* frequencies = memory.data();
  for (std::int64_t i = 0; i < pairs; ++i) {
    frequencies[i] = std::pow(base, -static_cast<double>(i) / static_cast<double>(pairs));
  }
  // A sine and a cosine cost as much as some tens of loads.
  for_rows(rows, pairs * 32, [=](std::int64_t begin, std::int64_t end) {
    constexpr std::int64_t batch = 64;
    double cosine[batch];
    double sine[batch];
    for (std::int64_t row = begin; row < end; ++row) {
      for (std::int64_t i = 0; i < pairs; i += batch) {
        const std::int64_t count = std::min(batch, pairs - i);
        HWY_DYNAMIC_DISPATCH(turn)(static_cast<double>(positions[row]), frequencies + i, count, cosine, sine);
        std::transform(cosine, cosine + count, cosines + row * pairs + i, [](double v) { return static_cast<T>(v); });
        std::transform(sine, sine + count, sines + row * pairs + i, [](double v) { return static_cast<T>(v); });
      }
    }
  });
}

template <typename T>
void rope(const RopeExtents& extents, const T* x, const T* cosines, const T* sines, bool interleaved, bool inverse,
          T* y) {
  for_rows(extents.rows, extents.heads * 2 * extents.pairs, [=](std::int64_t begin, std::int64_t end) {
    if constexpr (std::is_same_v<T, float>) {
      HWY_DYNAMIC_DISPATCH(rope_f32)(extents, begin, end, x, cosines, sines, interleaved, inverse, y);
    } else {
      HWY_DYNAMIC_DISPATCH(rope_f64)(extents, begin, end, x, cosines, sines, interleaved, inverse, y);
    }
  });
}

template void rope_table(const std::int64_t*, std::int64_t, std::int64_t, double, float*, float*);
template void rope_table(const std::int64_t*, std::int64_t, std::int64_t, double, double*, double*);
template void rope(const RopeExtents&, const float*, const float*, const float*, bool, bool, float*);
template void rope(const RopeExtents&, const double*, const double*, const double*, bool, bool, double*);

}  // namespace zoo::cpu

#endif  // HWY_ONCE
