#pragma once

#include "zoo/gpu/precision.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// c[m, n] = a[m, k] b[k, n], all in rows. m and n must be multiples of 32, k of 32, and the pointers, to device
/// memory, of 16 bytes; throws UsageError otherwise.
void tiled_matmul(const float* a, const float* b, float* c, int m, int n, int k, Precision precision, Stream& stream);

}  // namespace zoo::gpu
