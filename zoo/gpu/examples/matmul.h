#pragma once

#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// How a product of floats is computed on the tensor cores.
enum class MatmulPrecision {
  float32,  ///< as split TF32: relative errors near float32's
  tf32,     ///< operands rounded to 10 bits of mantissa
  bf16      ///< operands rounded to 7
};

/// c[m, n] = a[m, k] b[k, n], all in rows. m and n must be multiples of 32, k of 32, and the pointers, to device
/// memory, of 16 bytes; throws UsageError otherwise.
void tiled_matmul(const float* a, const float* b, float* c, int m, int n, int k, MatmulPrecision precision,
                  Stream& stream);

}  // namespace zoo::gpu
