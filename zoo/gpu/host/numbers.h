#pragma once

// CUDA's functions of numbers and its atomics on the host executor. expf, fmaf and the like are the C library's.

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "zoo/gpu/host/fault_text.h"

namespace zoo::gpu::host {

/// A point at which another thread may run.
void atomic_yield(bool blocked);
void check_alignment(const void* address, std::size_t alignment, Site site);

/// *address = change(*address) as one step that orders nothing else; the value before.
template <typename T, typename Change>
T atomic_change(T* address, const Change& change) {
  std::atomic_ref<T> value(*address);
  T before = value.load(std::memory_order_relaxed);
  while (!value.compare_exchange_weak(before, change(before), std::memory_order_relaxed)) {
  }
  atomic_yield(false);
  return before;
}

}  // namespace zoo::gpu::host

using std::max;
using std::min;

inline float rsqrtf(float x) {
  return 1.0F / std::sqrt(x);
}
inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline int __ffs(int x) {
  return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1;
}
inline int __float_as_int(float x) {
  return std::bit_cast<int>(x);
}
inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline float __int_as_float(int x) {
  return std::bit_cast<float>(x);
}
inline float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}

template <typename T>
T __ldg(const T* address, const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
  zoo::gpu::host::check_alignment(address, alignof(T), {file, line});
  return *address;
}

template <typename T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return zoo::gpu::host::atomic_change(address, [value](T before) { return static_cast<T>(before + value); });
}
template <typename T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return zoo::gpu::host::atomic_change(address, [value](T before) { return std::max(before, value); });
}
template <typename T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return zoo::gpu::host::atomic_change(address, [value](T before) { return std::min(before, value); });
}
template <typename T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return zoo::gpu::host::atomic_change(address, [value](T) { return value; });
}
template <typename T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  T before = expected;
  const bool stored = std::atomic_ref<T>(*address).compare_exchange_strong(before, value, std::memory_order_relaxed);
  zoo::gpu::host::atomic_yield(!stored);
  return before;
}
