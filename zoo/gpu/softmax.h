#pragma once

#include <cstdint>

#include "zoo/gpu/stream.h"

/// Softmax over each of `rows` rows of `count` elements, as in zoo/cpu/softmax.h. All pointers are to device memory;
/// all throw Error for sizes below 0 or beyond 2147483647.
namespace zoo::gpu {

void softmax(const float* x, std::int64_t rows, std::int64_t count, float* y, Stream& stream);
void softmax_backward(const float* y, const float* grad, std::int64_t rows, std::int64_t count, float* result,
                      Stream& stream);
void log_softmax(const float* x, std::int64_t rows, std::int64_t count, float* y, Stream& stream);
void log_softmax_backward(const float* y, const float* grad, std::int64_t rows, std::int64_t count, float* result,
                          Stream& stream);

}  // namespace zoo::gpu
