#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace zoo {

/// Sets the number of threads of ops from here on (OpenMP's, shared with oneDNN); at least 1. Every thread flushes
/// denormals to zero, since they cost 60 times a normal number.
void set_threads(int count);
int threads();

/// Calls body(begin, end) on disjoint parts of [0, count) from several threads, in one part when the work is smaller
/// than `grain` items a thread, or when already inside a parallel part. The partition depends on count, grain and
/// threads() alone. `body` must not throw.
template <typename Body>
void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
  if (count <= 0) return;
  const std::int64_t parts = std::min<std::int64_t>(threads(), count / std::max<std::int64_t>(grain, 1));
  if (parts <= 1 || omp_in_parallel()) {
    body(std::int64_t{0}, count);
    return;
  }
#pragma omp parallel for schedule(static, 1) num_threads(static_cast <int>(parts))
  for (std::int64_t part = 0; part < parts; ++part) body(count * part / parts, count * (part + 1) / parts);
}

}  // namespace zoo
