#pragma once

#include <algorithm>
#include <cstdint>

#include "zoo/core/parallel.h"

namespace zoo::cpu {

/// Elements that are worth a thread when each costs a load and a store.
inline constexpr std::int64_t elements_a_thread = 16384;

/// Calls body(begin, end) on parts of [0, count) elements; parts begin at multiples of 64, so that no two threads write
/// to one cache line and vectors stay aligned.
template <typename Body>
void for_elements(std::int64_t count, const Body& body) {
  constexpr std::int64_t block = 64;
  parallel_for((count + block - 1) / block, elements_a_thread / block,
               [&](std::int64_t begin, std::int64_t end) { body(begin * block, std::min(end * block, count)); });
}

/// Calls body(begin, end) on parts of [0, count) rows of `row_size` elements.
template <typename Body>
void for_rows(std::int64_t count, std::int64_t row_size, const Body& body) {
  parallel_for(count, elements_a_thread / std::max<std::int64_t>(row_size, 1), body);
}

}  // namespace zoo::cpu
