#pragma once

#include <cstddef>
#include <utility>
#include <vector>

// Counts what kernels do in shared memory, on the host executor: the kernels of this program are compiled with calls of
// functions that ThreadSanitizer has before each access, which here only count.

namespace zoo::gpu {

/// Bytes that kernels have read and written in the shared memory of their blocks since reset_shared_count().
double shared_count();
/// From 0 on again; without bytes [first, second) of a block's shared memory.
void reset_shared_count(std::vector<std::pair<std::size_t, std::size_t>> ignored = {});

}  // namespace zoo::gpu
