#pragma once

#include <cstdint>
#include <limits>

#include "zoo/core/error.h"

namespace zoo::gpu {

/// An extent as kernels count. Throws Error naming it when it is below `least` or beyond int.
inline int extent(const char* family, const char* name, std::int64_t value, std::int64_t least = 0) {
  constexpr std::int64_t most = std::numeric_limits<int>::max();
  if (value < least || value > most)
    throw Error("{} on the GPU: {} is {}; it must be from {} to {}", family, name, value, least, most);
  return static_cast<int>(value);
}

/// What extents must be to each other. Throws Error naming the one that is wrong, and what it must be.
inline void require_extent(bool holds, const char* family, const char* name, std::int64_t value, const char* expected) {
  if (!holds) throw Error("{} on the GPU: {} is {}; {}", family, name, value, expected);
}

}  // namespace zoo::gpu
