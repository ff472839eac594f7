#pragma once

#include <type_traits>

#include "zoo/gpu/bfloat16.h"
#include "zoo/gpu/precision.h"
#include "zoo/gpu/ptx.h"

// Products of small matrices by the tensor cores: a whole warp computes c += a b, with c of 16 rows and 8 columns in
// float. The elements of a, b and c are spread over the lanes' registers; which lane holds what is nobody's business
// but this file's, and the host executor holds it otherwise in every launch. All 32 lanes must call each function
// together.

namespace zoo::gpu {

inline constexpr int tile_rows = 16;
inline constexpr int tile_columns = 8;

/// How the elements of a and b are rounded: 10 bits of mantissa, bfloat16's 7, or hardly (as sums of two TF32 numbers,
/// which keep 21 of a float's 24 bits). `depth` is a's columns and b's rows.
struct Tf32 {
  static constexpr int depth = 8;
};
struct Bf16 {
  static constexpr int depth = 16;
};
struct Float32 {
  static constexpr int depth = 8;
};

/// a, 16 rows of Format::depth.
template <typename Format>
struct TileA {
  unsigned registers[4];
};
template <>
struct TileA<Float32> {
  TileA<Tf32> high;
  TileA<Tf32> low;
};

/// b, Format::depth rows of 8.
template <typename Format>
struct TileB {
  unsigned registers[2];
};
template <>
struct TileB<Float32> {
  TileB<Tf32> high;
  TileB<Tf32> low;
};

/// c, of which each lane holds four elements: values[i] is at (row(i), column(i)). The first two are of one row, the
/// others of another.
struct TileC {
  float values[4] = {0, 0, 0, 0};

  __device__ static int row(int i) { return static_cast<int>(tile_lane()) / 4 + i / 2 * 8; }
  __device__ static int column(int i) { return static_cast<int>(tile_lane()) % 4 * 2 + i % 2; }
};

namespace detail {

// The register that holds (row, k) of a or (k, column) of b: one TF32 number, or two bfloat16 of neighbouring k.
template <typename Format, typename Element>
__device__ __forceinline__ unsigned tile_register(int first_k, const Element& element) {
  if constexpr (std::is_same_v<Format, Tf32>) {
    return __float_as_uint(round_to_tf32(element(first_k)));
  } else {
    return to_bfloat16(element(first_k)).bits | static_cast<unsigned>(to_bfloat16(element(first_k + 1)).bits) << 16;
  }
}

// How many neighbours along k a register holds.
template <typename Format>
inline constexpr int per_register = Format::depth / 8;

// What rounding to TF32 leaves of a float.
template <typename Element>
__device__ __forceinline__ auto rest_of(const Element& element) {
  return [=](int row, int column) {
    const float value = element(row, column);
    return value - round_to_tf32(value);
  };
}

}  // namespace detail

/// a from element(row, k), a float.
template <typename Format, typename Element>
__device__ __forceinline__ TileA<Format> tile_a(const Element& element) {
  if constexpr (std::is_same_v<Format, Float32>) {
    return {tile_a<Tf32>(element), tile_a<Tf32>(detail::rest_of(element))};
  } else {
    const int lane = static_cast<int>(tile_lane());
    TileA<Format> result;
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i % 2 * 8;
      const int k = (lane % 4 + i / 2 * 4) * detail::per_register<Format>;
      result.registers[i] = detail::tile_register<Format>(k, [&](int at) { return element(row, at); });
    }
    return result;
  }
}

/// b from element(k, column), a float.
template <typename Format, typename Element>
__device__ __forceinline__ TileB<Format> tile_b(const Element& element) {
  if constexpr (std::is_same_v<Format, Float32>) {
    return {tile_b<Tf32>(element), tile_b<Tf32>(detail::rest_of(element))};
  } else {
    const int lane = static_cast<int>(tile_lane());
    TileB<Format> result;
    for (int i = 0; i < 2; ++i) {
      const int k = (lane % 4 + i * 4) * detail::per_register<Format>;
      result.registers[i] = detail::tile_register<Format>(k, [&](int at) { return element(at, lane / 4); });
    }
    return result;
  }
}

/// a from memory, float or bfloat16: element (row, k) is at origin[row * row_stride + k * k_stride], so that either
/// stride may be 1.
template <typename Format, typename T>
__device__ __forceinline__ TileA<Format> load_a(const T* origin, int row_stride, int k_stride) {
  return tile_a<Format>([=](int row, int k) { return to_float(origin[row * row_stride + k * k_stride]); });
}

/// b from memory: element (k, column) is at origin[k * k_stride + column * column_stride].
template <typename Format, typename T>
__device__ __forceinline__ TileB<Format> load_b(const T* origin, int k_stride, int column_stride) {
  return tile_b<Format>([=](int k, int column) { return to_float(origin[k * k_stride + column * column_stride]); });
}

/// Stores c: element (row, column) to origin[row * row_stride + column * column_stride].
__device__ __forceinline__ void store(const TileC& c, float* origin, int row_stride, int column_stride) {
  for (int i = 0; i < 4; ++i) origin[TileC::row(i) * row_stride + TileC::column(i) * column_stride] = c.values[i];
}

/// c += a b. The products are exact; they are added in float.
__device__ __forceinline__ void multiply_add(TileC& c, const TileA<Tf32>& a, const TileB<Tf32>& b) {
  mma_tf32(c.values, a.registers, b.registers);
}
__device__ __forceinline__ void multiply_add(TileC& c, const TileA<Bf16>& a, const TileB<Bf16>& b) {
  mma_bf16(c.values, a.registers, b.registers);
}

/// The same to float32's accuracy, the small products first: the fourth, low by low, is below the rounding, and the
/// three give each product to a relative 2^-20.
__device__ __forceinline__ void multiply_add(TileC& c, const TileA<Float32>& a, const TileB<Float32>& b) {
  multiply_add(c, a.low, b.high);
  multiply_add(c, a.high, b.low);
  multiply_add(c, a.high, b.high);
}

/// Of a number that each lane has for a row of c (that of values[0], or that of values[2]): combine(x, y) over all
/// lanes that hold elements of the row, which all get it. `combine` must be commutative.
template <typename Combine>
__device__ __forceinline__ float across_row(float value, const Combine& combine) {
  for (unsigned by = 1; by < 4; by *= 2)
    value = combine(value, __shfl_sync(0xffffffff, value, static_cast<int>(lane_of_tile_lane(tile_lane() ^ by))));
  return value;
}

/// The same of a number for a column of c (that of values[0] and values[2], or that of values[1] and values[3]).
template <typename Combine>
__device__ __forceinline__ float across_column(float value, const Combine& combine) {
  for (unsigned by = 4; by < 32; by *= 2)
    value = combine(value, __shfl_sync(0xffffffff, value, static_cast<int>(lane_of_tile_lane(tile_lane() ^ by))));
  return value;
}

/// Calls body(Format()) for the format that computes with a precision.
template <typename Body>
void with_format(Precision precision, const Body& body) {
  switch (precision) {
    case Precision::float32:
      return body(Float32());
    case Precision::tf32:
      return body(Tf32());
    case Precision::bf16:
      return body(Bf16());
  }
}

}  // namespace zoo::gpu
