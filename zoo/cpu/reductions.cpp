#include "zoo/cpu/reductions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "zoo/cpu/partition.h"

namespace zoo::cpu {

namespace {

// Calls body(o, begin, end) for parts [begin, end) of the inner axis of block o, where each block costs count * inner.
template <typename Body>
void for_columns(const AxisExtents& extents, const Body& body) {
  if (extents.outer >= 8 || extents.inner < 128) {
    for_rows(extents.outer, extents.count * extents.inner, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = begin; o < end; ++o) body(o, std::int64_t{0}, extents.inner);
    });
    return;
  }
  for (std::int64_t o = 0; o < extents.outer; ++o) {
    parallel_for(extents.inner, elements_a_thread / std::max<std::int64_t>(extents.count, 1) + 64,
                 [&](std::int64_t begin, std::int64_t end) { body(o, begin, end); });
  }
}

template <typename T>
bool same(T value, T best) {
  return value == best || (std::isnan(value) && std::isnan(best));
}

// The largest of neighbours, NaN if any is, in as many chains as fill the vectors of any machine.
template <typename T>
T largest(const T* x, std::int64_t count) {
  using Flag = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;  // as wide as T, so that both vectorise
  constexpr std::int64_t chains = 16;
  T best[chains];
  Flag nan[chains] = {};
  std::fill_n(best, chains, x[0]);
  std::int64_t i = 0;
  for (; i + chains <= count; i += chains) {
    for (std::int64_t k = 0; k < chains; ++k) best[k] = x[i + k] > best[k] ? x[i + k] : best[k];
    for (std::int64_t k = 0; k < chains; ++k) nan[k] |= x[i + k] != x[i + k] ? Flag{1} : Flag{0};
  }
  for (; i < count; ++i) {
    best[0] = x[i] > best[0] ? x[i] : best[0];
    nan[0] |= x[i] != x[i] ? Flag{1} : Flag{0};
  }
  const bool any_nan = std::any_of(nan, nan + chains, [](Flag flag) { return flag != 0; });
  return any_nan ? std::numeric_limits<T>::quiet_NaN() : *std::max_element(best, best + chains);
}

}  // namespace

template <typename T>
void max(const AxisExtents& extents, const T* x, T* y) {
  const auto [outer, count, inner] = extents;
  for_columns(extents, [=, count = count, inner = inner](std::int64_t o, std::int64_t begin, std::int64_t end) {
    const T* block = x + o * count * inner;
    T* best = y + o * inner;
    if (inner == 1) {
      *best = largest(block, count);
      return;
    }
    std::copy(block + begin, block + end, best + begin);
    for (std::int64_t k = 1; k < count; ++k) {
      const T* row = block + k * inner;
      // A NaN takes the place, and then nothing is greater than it.
      for (std::int64_t i = begin; i < end; ++i) best[i] = row[i] > best[i] || row[i] != row[i] ? row[i] : best[i];
    }
  });
}

template <typename T>
void first_max_mask(const AxisExtents& extents, const T* x, const T* largest, T* mask) {
  const auto [outer, count, inner] = extents;
  std::fill_n(mask, outer * count * inner, T{0});
  for_columns(extents, [=, count = count, inner = inner](std::int64_t o, std::int64_t begin, std::int64_t end) {
    const std::int64_t block = o * count * inner;
    for (std::int64_t i = begin; i < end; ++i) {
      std::int64_t k = 0;
      while (k + 1 < count && !same(x[block + k * inner + i], largest[o * inner + i])) ++k;
      mask[block + k * inner + i] = T{1};
    }
  });
}

template <typename T>
void argmax(const AxisExtents& extents, const T* x, std::int32_t* y) {
  const std::int64_t count = extents.count;
  for_rows(extents.outer, count, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) {
      const T* row = x + o * count;
      const T best = largest(row, count);
      y[o] =
          static_cast<std::int32_t>(std::find_if(row, row + count, [=](T value) { return same(value, best); }) - row);
    }
  });
}

template <typename T>
void cumsum(const AxisExtents& extents, const T* x, bool reverse, T* y) {
  const auto [outer, count, inner] = extents;
  for_columns(extents, [=, count = count, inner = inner](std::int64_t o, std::int64_t begin, std::int64_t end) {
    const std::int64_t block = o * count * inner;
    for (std::int64_t k = 0; k < count; ++k) {
      const std::int64_t at = block + (reverse ? count - 1 - k : k) * inner;
      const std::int64_t previous = reverse ? at + inner : at - inner;
      for (std::int64_t i = begin; i < end; ++i) y[at + i] = k == 0 ? x[at + i] : y[previous + i] + x[at + i];
    }
  });
}

template void max(const AxisExtents&, const float*, float*);
template void max(const AxisExtents&, const double*, double*);
template void first_max_mask(const AxisExtents&, const float*, const float*, float*);
template void first_max_mask(const AxisExtents&, const double*, const double*, double*);
template void argmax(const AxisExtents&, const float*, std::int32_t*);
template void argmax(const AxisExtents&, const double*, std::int32_t*);
template void cumsum(const AxisExtents&, const float*, bool, float*);
template void cumsum(const AxisExtents&, const double*, bool, double*);

}  // namespace zoo::cpu
