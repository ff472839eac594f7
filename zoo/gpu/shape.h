#pragma once

#include <cstdint>

#include "zoo/cpu/strided.h"
#include "zoo/gpu/stream.h"

/// Copies that move elements of four bytes without changing them. All pointers are to device memory; all throw Error
/// for sizes below 0 or beyond 2147483647.
namespace zoo::gpu {

/// y, contiguous of `count` elements, from x read as the loops say.
void copy_strided(std::int64_t count, const cpu::StridedLoops<1>& loops, const std::uint32_t* x, std::uint32_t* y,
                  Stream& stream);

/// Copies `count` runs of `words` elements each; runs begin `from_step` and `to_step` elements apart.
void copy_runs(const std::uint32_t* from, std::int64_t from_step, std::uint32_t* to, std::int64_t to_step,
               std::int64_t words, std::int64_t count, Stream& stream);

}  // namespace zoo::gpu
