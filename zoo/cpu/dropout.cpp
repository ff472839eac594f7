#include "zoo/cpu/dropout.h"

#include <type_traits>

#include "zoo/cpu/partition.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/dropout.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/dropout_mask-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

template <typename T>
HWY_INLINE void drop(const T* x, std::int64_t count, double probability, RandomKey key, std::uint64_t first, T* y) {
  const std::uint32_t threshold = dropout_threshold(probability);
  const T factor = static_cast<T>(1 / (1 - probability));
  for_dropout_numbers(key, first, count, [=](std::int64_t i, std::int64_t n, const std::uint16_t* numbers) HWY_ATTR {
    for (std::int64_t j = 0; j < n; ++j) y[i + j] = numbers[j] >= threshold ? x[i + j] * factor : T{0};
  });
}

void dropout_f32(const float* x, std::int64_t count, double probability, RandomKey key, std::uint64_t first, float* y) {
  drop(x, count, probability, key, first, y);
}

void dropout_f64(const double* x, std::int64_t count, double probability, RandomKey key, std::uint64_t first,
                 double* y) {
  drop(x, count, probability, key, first, y);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(dropout_f32);
HWY_EXPORT(dropout_f64);

template <typename T>
void dropout(const T* x, std::int64_t count, double probability, RandomKey key, std::uint64_t first, T* y) {
  for_elements(count, [=](std::int64_t begin, std::int64_t end) {
    const std::uint64_t from = first + static_cast<std::uint64_t>(begin);
    if constexpr (std::is_same_v<T, float>) {
      HWY_DYNAMIC_DISPATCH(dropout_f32)(x + begin, end - begin, probability, key, from, y + begin);
    } else {
      HWY_DYNAMIC_DISPATCH(dropout_f64)(x + begin, end - begin, probability, key, from, y + begin);
    }
  });
}

template void dropout(const float*, std::int64_t, double, RandomKey, std::uint64_t, float*);
template void dropout(const double*, std::int64_t, double, RandomKey, std::uint64_t, double*);

}  // namespace zoo::cpu

#endif  // HWY_ONCE
