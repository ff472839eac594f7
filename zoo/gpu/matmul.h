#pragma once

#include "zoo/cpu/matmul.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// C = A B, or C += A B, batched and with a bias, as cpu::matmul; all pointers are to device memory. On a GPU the
/// product is cuBLAS's, in float32 and deterministic; on the emulated device it is matmul_tiled. Throws Error for sizes
/// below 0 or beyond 2147483647.
void matmul(const cpu::MatmulShape& shape, const float* a, const float* b, const float* bias, float* c, Stream& stream);

/// The same by a kernel of our own: tiles of 32 x 32 from shared memory, each sum in the order of k.
void matmul_tiled(const cpu::MatmulShape& shape, const float* a, const float* b, const float* bias, float* c,
                  Stream& stream);

/// Each of `rows` rows of c [rows, n] = bias, or 0 where it is nullptr: what a product is added to.
void fill_rows(const float* bias, std::int64_t rows, std::int64_t n, float* c, Stream& stream);

}  // namespace zoo::gpu
