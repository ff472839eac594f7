#pragma once

#include "zoo/cpu/rope.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// Turns channel pairs, as cpu::rope; all pointers are to device memory. Throws Error for sizes below 0 or beyond
/// 2147483647.
void rope(const cpu::RopeExtents& extents, const float* x, const float* cosines, const float* sines, bool interleaved,
          bool inverse, float* y, Stream& stream);

/// The positions of a table's rows: `rows`, or where that is nullptr those from `first` on, modulo `period` where that
/// is above 0.
struct RopePositions {
  const std::int32_t* rows;
  std::int64_t first;
  std::int64_t period;
};

/// Cosines and sines [rows, pairs] of the angles position * base^(-i/pairs), computed in double, as cpu::rope_table;
/// all pointers are to device memory. Throws as rope does.
void rope_table(const RopePositions& positions, std::int64_t rows, std::int64_t pairs, double base, float* cosines,
                float* sines, Stream& stream);

}  // namespace zoo::gpu
