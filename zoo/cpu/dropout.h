#pragma once

#include <cstdint>

#include "zoo/core/random.h"

namespace zoo::cpu {

/// y[i] = x[i] / (1 - probability), or 0 where number first + i of the key's dropout stream says so
/// (dropout_mask-inl.h). T is float or double.
template <typename T>
void dropout(const T* x, std::int64_t count, double probability, RandomKey key, std::uint64_t first, T* y);

}  // namespace zoo::cpu
