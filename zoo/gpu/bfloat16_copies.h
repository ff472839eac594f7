#pragma once

#include <cstdint>

#include "zoo/gpu/stream.h"

/// bfloat16 of `count` floats, and floats of `count` bfloat16, in memory of the device. Throw Error for counts below 0
/// or beyond 2147483647.
namespace zoo::gpu {

/// Rounded to nearest, ties to even; NaN stays NaN.
void to_bfloat16(const float* x, std::uint16_t* result, std::int64_t count, Stream& stream);
void from_bfloat16(const std::uint16_t* x, float* result, std::int64_t count, Stream& stream);

}  // namespace zoo::gpu
