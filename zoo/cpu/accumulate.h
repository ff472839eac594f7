#pragma once

#include <cstdint>

namespace zoo::cpu {

/// into += term, elementwise, in place.
void accumulate(float* into, const float* term, std::int64_t count);
void accumulate(double* into, const double* term, std::int64_t count);

}  // namespace zoo::cpu
