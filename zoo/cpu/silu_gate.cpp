#include "zoo/cpu/silu_gate.h"

#include <type_traits>

#include "zoo/cpu/partition.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/silu_gate.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/elementwise_rules-inl.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

template <typename T>
HWY_INLINE void gate(const T* y, const T* z, T* result, std::int64_t count) {
  const hn::ScalableTag<T> d;
  for_vectors(d, count, [=](std::int64_t i, auto part) HWY_ATTR {
    part.store(hn::Mul(part.load(d, y + i), math::Silu(d, part.load(d, z + i))), d, result + i);
  });
}

template <typename T>
HWY_INLINE void gate_backward(const T* y, const T* z, const T* grad, T* dy, T* dz, std::int64_t count) {
  const hn::ScalableTag<T> d;
  for_vectors(d, count, [=](std::int64_t i, auto part) HWY_ATTR {
    const auto g = part.load(d, grad + i), zi = part.load(d, z + i);
    if (dy != nullptr) part.store(hn::Mul(g, math::Silu(d, zi)), d, dy + i);
    if (dz != nullptr) part.store(rules::Silu::gradient(d, zi, hn::Mul(g, part.load(d, y + i))), d, dz + i);
  });
}

// For the dispatch, which takes no templates.
void gate_f32(const float* y, const float* z, float* result, std::int64_t count) {
  gate(y, z, result, count);
}
void gate_f64(const double* y, const double* z, double* result, std::int64_t count) {
  gate(y, z, result, count);
}
void gate_backward_f32(const float* y, const float* z, const float* grad, float* dy, float* dz, std::int64_t count) {
  gate_backward(y, z, grad, dy, dz, count);
}
void gate_backward_f64(const double* y, const double* z, const double* grad, double* dy, double* dz,
                       std::int64_t count) {
  gate_backward(y, z, grad, dy, dz, count);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(gate_f32);
HWY_EXPORT(gate_f64);
HWY_EXPORT(gate_backward_f32);
HWY_EXPORT(gate_backward_f64);

template <typename T>
void silu_gate(const T* y, const T* z, T* result, std::int64_t count) {
  for_elements(count, [=](std::int64_t begin, std::int64_t end) {
    if constexpr (std::is_same_v<T, float>) {
      HWY_DYNAMIC_DISPATCH(gate_f32)(y + begin, z + begin, result + begin, end - begin);
    } else {
      HWY_DYNAMIC_DISPATCH(gate_f64)(y + begin, z + begin, result + begin, end - begin);
    }
  });
}

template <typename T>
void silu_gate_backward(const T* y, const T* z, const T* grad, T* dy, T* dz, std::int64_t count) {
  for_elements(count, [=](std::int64_t begin, std::int64_t end) {
    T* dy_part = dy == nullptr ? nullptr : dy + begin;
    T* dz_part = dz == nullptr ? nullptr : dz + begin;
    if constexpr (std::is_same_v<T, float>) {
      HWY_DYNAMIC_DISPATCH(gate_backward_f32)(y + begin, z + begin, grad + begin, dy_part, dz_part, end - begin);
    } else {
      HWY_DYNAMIC_DISPATCH(gate_backward_f64)(y + begin, z + begin, grad + begin, dy_part, dz_part, end - begin);
    }
  });
}

template void silu_gate(const float*, const float*, float*, std::int64_t);
template void silu_gate(const double*, const double*, double*, std::int64_t);
template void silu_gate_backward(const float*, const float*, const float*, float*, float*, std::int64_t);
template void silu_gate_backward(const double*, const double*, const double*, double*, double*, std::int64_t);

}  // namespace zoo::cpu

#endif  // HWY_ONCE
