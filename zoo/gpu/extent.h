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

}  // namespace zoo::gpu
