#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace zoo {

/// The middle value, or the mean of the two middle ones; of at least one value.
inline double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace zoo
