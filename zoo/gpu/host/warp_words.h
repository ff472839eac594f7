#pragma once

// CUDA's warp functions on the host executor.

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "zoo/gpu/host/fault_text.h"

namespace zoo::gpu::host {

enum class Shuffle { index, up, down, exclusive_or };
enum class Ballot { ballot, any, all };

void warp_sync(unsigned mask, Site site);
unsigned warp_ballot(Ballot kind, unsigned mask, bool predicate, Site site);
/// A lane that reads from a lane outside the mask gets all bits set: NaN.
std::uint64_t warp_shuffle(Shuffle kind, unsigned mask, std::uint64_t value, int by, int width, Site site);
unsigned warp_sum(unsigned mask, unsigned value, Site site);

template <typename T>
T shuffle(Shuffle kind, unsigned mask, T value, int by, int width, Site site) {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8 && sizeof(T) >= 4, "CUDA shuffles numbers of 32 and 64 bits");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = warp_shuffle(kind, mask, bits, by, width, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace zoo::gpu::host

inline void __syncwarp(unsigned mask = 0xffffffff, const char* file = __builtin_FILE(),
                       unsigned line = __builtin_LINE()) {
  zoo::gpu::host::warp_sync(mask, {file, line});
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, const char* file = __builtin_FILE(),
              unsigned line = __builtin_LINE()) {
  return zoo::gpu::host::shuffle(zoo::gpu::host::Shuffle::index, mask, value, lane, width, {file, line});
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, const char* file = __builtin_FILE(),
                 unsigned line = __builtin_LINE()) {
  return zoo::gpu::host::shuffle(zoo::gpu::host::Shuffle::up, mask, value, static_cast<int>(by), width, {file, line});
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, const char* file = __builtin_FILE(),
                   unsigned line = __builtin_LINE()) {
  return zoo::gpu::host::shuffle(zoo::gpu::host::Shuffle::down, mask, value, static_cast<int>(by), width, {file, line});
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int by, int width = 32, const char* file = __builtin_FILE(),
                  unsigned line = __builtin_LINE()) {
  return zoo::gpu::host::shuffle(zoo::gpu::host::Shuffle::exclusive_or, mask, value, by, width, {file, line});
}

inline unsigned __ballot_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(),
                              unsigned line = __builtin_LINE()) {
  return zoo::gpu::host::warp_ballot(zoo::gpu::host::Ballot::ballot, mask, predicate != 0, {file, line});
}
inline int __any_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(),
                      unsigned line = __builtin_LINE()) {
  return zoo::gpu::host::warp_ballot(zoo::gpu::host::Ballot::any, mask, predicate != 0, {file, line}) != 0;
}
inline int __all_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(),
                      unsigned line = __builtin_LINE()) {
  return zoo::gpu::host::warp_ballot(zoo::gpu::host::Ballot::all, mask, predicate != 0, {file, line}) == mask;
}

inline unsigned __reduce_add_sync(unsigned mask, unsigned value, const char* file = __builtin_FILE(),
                                  unsigned line = __builtin_LINE()) {
  return zoo::gpu::host::warp_sum(mask, value, {file, line});
}
inline int __reduce_add_sync(unsigned mask, int value, const char* file = __builtin_FILE(),
                             unsigned line = __builtin_LINE()) {
  return static_cast<int>(__reduce_add_sync(mask, static_cast<unsigned>(value), file, line));
}
