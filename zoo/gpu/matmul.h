#pragma once

#include "zoo/cpu/matmul.h"
#include "zoo/gpu/precision.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// C = A B, or C += A B, batched and with a bias, as cpu::matmul; all pointers are to device memory. A and B are
/// rounded as `precision` says; their products are exact, all sums and C are float32's. On a GPU the product is
/// cuBLAS's and deterministic; on the emulated device it is matmul_tiled. Throws Error for sizes below 0 or beyond
/// 2147483647.
void matmul(const cpu::MatmulShape& shape, const float* a, const float* b, const float* bias, float* c,
            Precision precision, Stream& stream);

/// The same by a kernel of our own: tiles of 32 x 32 from shared memory, each sum in the order of k. In float32 the
/// operands are not rounded.
void matmul_tiled(const cpu::MatmulShape& shape, const float* a, const float* b, const float* bias, float* c,
                  Precision precision, Stream& stream);

/// Each of `rows` rows of c [rows, n] = bias, or 0 where it is nullptr: what a product is added to.
void fill_rows(const float* bias, std::int64_t rows, std::int64_t n, float* c, Stream& stream);

}  // namespace zoo::gpu
