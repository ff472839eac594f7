#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace zoo::cpu {

/// y row i = x row indices[i]; rows have `bytes` bytes.
void gather_rows(const void* x, std::size_t bytes, std::span<const std::int32_t> indices, void* y);

/// y [rows, row_size] += x row i at row indices[i], for i in order. T is float or double.
template <typename T>
void scatter_add_rows(const T* x, std::int64_t row_size, std::span<const std::int32_t> indices, T* y,
                      std::int64_t rows);

}  // namespace zoo::cpu
