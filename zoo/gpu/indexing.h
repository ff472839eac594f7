#pragma once

#include <cstdint>

#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// y row i = x row indices[i], for i in [0, count); rows have `words` elements of four bytes. All pointers are to
/// device memory, indices must be those of rows of x. Both throw Error for sizes below 0 or beyond 2147483647.
void gather_rows(const std::uint32_t* x, std::int64_t words, const std::int32_t* indices, std::int64_t count,
                 std::uint32_t* y, Stream& stream);

/// y [rows, row_size]: row r is the sum of x's rows order[starts[r]] .. order[starts[r+1] - 1], added in that order;
/// zeros where there is none.
void sum_listed_rows(const float* x, std::int64_t row_size, const std::int32_t* starts, const std::int32_t* order,
                     float* y, std::int64_t rows, Stream& stream);

}  // namespace zoo::gpu
