#pragma once

#include <cstdint>

namespace zoo::cpu {

/// Cosines and sines [rows, pairs] of the angles positions[r] * base^(-i/pairs), computed in double. T is float or
/// double.
template <typename T>
void rope_table(const std::int64_t* positions, std::int64_t rows, std::int64_t pairs, double base, T* cosines,
                T* sines);

/// x [rows, heads, 2 * pairs], whose row r turns by row r % table_rows of the table.
struct RopeExtents {
  std::int64_t rows;
  std::int64_t table_rows;
  std::int64_t heads;
  std::int64_t pairs;
};

/// y: x with each channel pair turned by its angle, or back when inverse. Pairs are (i, i + pairs), or (2i, 2i + 1)
/// when interleaved.
template <typename T>
void rope(const RopeExtents& extents, const T* x, const T* cosines, const T* sines, bool interleaved, bool inverse,
          T* y);

}  // namespace zoo::cpu
