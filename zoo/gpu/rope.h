#pragma once

#include "zoo/cpu/rope.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// Turns channel pairs, as cpu::rope; all pointers are to device memory. Throws Error for sizes below 0 or beyond
/// 2147483647.
void rope(const cpu::RopeExtents& extents, const float* x, const float* cosines, const float* sines, bool interleaved,
          bool inverse, float* y, Stream& stream);

}  // namespace zoo::gpu
