#pragma once

#include <cstdint>

#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// *sum = the sum of `count` numbers, added in double in an order of their number alone; all pointers are to device
/// memory. Throws Error for counts below 0.
void total(const double* numbers, std::int64_t count, float* sum, Stream& stream);

/// *sum = the sum of the squares of `count` numbers, likewise. `scratch` has room for sum_of_squares_scratch(count).
void sum_of_squares(const float* numbers, std::int64_t count, double* scratch, double* sum, Stream& stream);
std::int64_t sum_of_squares_scratch(std::int64_t count);

}  // namespace zoo::gpu
