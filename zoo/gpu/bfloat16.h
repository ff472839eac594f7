#pragma once

#include <cstdint>

#include "zoo/gpu/kernel.h"

namespace zoo::gpu {

/// The upper half of a float: 8 bits of exponent, 7 of mantissa.
struct bfloat16 {
  std::uint16_t bits = 0;
};

__device__ __forceinline__ float to_float(float x) {
  return x;
}
__device__ __forceinline__ float to_float(bfloat16 x) {
  return __uint_as_float(static_cast<unsigned>(x.bits) << 16);
}

/// The nearest bfloat16, ties to even; NaN stays NaN.
__device__ __forceinline__ bfloat16 to_bfloat16(float x) {
  const unsigned bits = __float_as_uint(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return {static_cast<std::uint16_t>(bits >> 16 | 0x40)};
  return {static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

}  // namespace zoo::gpu
