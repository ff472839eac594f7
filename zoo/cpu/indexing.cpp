#include "zoo/cpu/indexing.h"

#include <algorithm>
#include <cstring>

#include "zoo/cpu/partition.h"

namespace zoo::cpu {

void gather_rows(const void* x, std::size_t bytes, std::span<const std::int32_t> indices, void* y) {
  if (bytes == 0) return;
  for_rows(static_cast<std::int64_t>(indices.size()), static_cast<std::int64_t>(bytes / 4),
           [=](std::int64_t begin, std::int64_t end) {
             for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
               std::memcpy(static_cast<std::byte*>(y) + i * bytes,
                           static_cast<const std::byte*>(x) + static_cast<std::size_t>(indices[i]) * bytes, bytes);
             }
           });
}

template <typename T>
void scatter_add_rows(const T* x, std::int64_t row_size, std::span<const std::int32_t> indices, T* y,
                      std::int64_t rows) {
  const auto count = static_cast<std::int64_t>(indices.size());
  if (rows == 0) return;
  // Each thread owns a range of result rows and walks all indices, so that terms are added in their order.
  const std::int64_t cost = std::max<std::int64_t>(count * row_size / rows, 1);
  for_rows(rows, cost, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t row = indices[static_cast<std::size_t>(i)];
      if (row < begin || row >= end) continue;
      T* into = y + row * row_size;
      const T* term = x + i * row_size;
      for (std::int64_t j = 0; j < row_size; ++j) into[j] += term[j];
    }
  });
}

template void scatter_add_rows(const float*, std::int64_t, std::span<const std::int32_t>, float*, std::int64_t);
template void scatter_add_rows(const double*, std::int64_t, std::span<const std::int32_t>, double*, std::int64_t);

}  // namespace zoo::cpu
