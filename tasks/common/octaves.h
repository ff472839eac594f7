#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "zoo/core/task.h"

namespace zoo {

/// The octave of a distance or count n >= 1: g for 2^g <= n < 2^(g+1), the index into octave_groups().
inline std::int32_t octave(std::int64_t n) {
  return static_cast<std::int32_t>(std::bit_width(static_cast<std::uint64_t>(n))) - 1;
}

/// Groups of labels by the octave of a quantity that is at most `largest`, named by the least value of each: {name 1},
/// {name 2}, {name 4}, ...
inline std::vector<Slice> octave_groups(const std::string& name, std::int64_t largest) {
  std::vector<Slice> groups;
  for (std::int32_t g = 0; g <= octave(largest); ++g) groups.push_back({name, std::int64_t{1} << g});
  return groups;
}

}  // namespace zoo
