#pragma once

#include <cstdint>

#include "zoo/cpu/elementwise.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// y = f(x), elementwise, as in zoo/cpu/elementwise.h; y may be x. All pointers are to device memory. All throw Error
/// for counts below 0 or beyond 2147483647.
void unary(cpu::Unary kind, const float* x, float* y, std::int64_t count, Stream& stream);

/// result = grad * f', given the argument or the value (cpu::derivative_reads_value).
void unary_backward(cpu::Unary kind, const float* argument_or_value, const float* grad, float* result,
                    std::int64_t count, Stream& stream);

/// y = factor * x.
void scale(const float* x, float factor, float* y, std::int64_t count, Stream& stream);
/// y = x + term.
void add_scalar(const float* x, float term, float* y, std::int64_t count, Stream& stream);

}  // namespace zoo::gpu
