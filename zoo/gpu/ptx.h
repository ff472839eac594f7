#pragma once

// The only file with PTX: asynchronous copies to shared memory, and tensor cores. Each function has a branch for the
// GPU (compute capability 8.0 and above) and one for the host executor. Kernels use tile.h rather than the products
// here.

#include "zoo/gpu/kernel.h"

#if !defined(__CUDACC__)
#include <cstring>

#include "zoo/gpu/host/tile_words.h"
#endif

namespace zoo::gpu {

#if defined(__CUDACC__)

/// Begins to copy 4, 8 or 16 bytes from device to shared memory, both aligned to as many bytes. They must not be read,
/// nor the destination written, before copy_async_wait; other threads see them after a barrier.
template <int bytes>
__device__ __forceinline__ void copy_async(void* shared, const void* global) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16);
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  if constexpr (bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(to), "l"(global), "n"(bytes) : "memory");
  }
}

/// Makes a group of the copies that this thread has begun since the last.
__device__ __forceinline__ void copy_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

/// Waits until at most the newest `groups` groups of this thread are under way.
template <int groups>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}

/// The nearest number with TF32's 10 bits of mantissa, ties away from zero.
__device__ __forceinline__ float round_to_tf32(float x) {
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return __uint_as_float(bits);
}

/// The lane of the PTX manual's layouts of mma that this lane is.
__device__ __forceinline__ unsigned tile_lane() {
  unsigned lane;
  asm("mov.u32 %0, %%laneid;" : "=r"(lane));
  return lane;
}

/// The lane of the warp whose tile_lane() is this.
__device__ __forceinline__ unsigned lane_of_tile_lane(unsigned lane) {
  return lane;
}

/// c += a b by a whole warp: 16x8 += 16x8 8x8 in TF32.
__device__ __forceinline__ void mma_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// c += a b by a whole warp: 16x8 += 16x16 16x8 in bfloat16.
__device__ __forceinline__ void mma_bf16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#else

template <int bytes>
void copy_async(void* shared, const void* global, const char* file = __builtin_FILE(),
                unsigned line = __builtin_LINE()) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16);
  // Both parts are compiled here, with the kernel, so that sanitizers see them as the kernel's accesses.
  const auto arrive = [](void* to, const void* from) { std::memcpy(to, from, bytes); };
  host::begin_copy(shared, global, bytes, arrive, {file, line});
  std::memset(shared, 0xff, bytes);
}

inline void copy_async_commit() {
  host::commit_copies();
}

template <int groups>
void copy_async_wait() {
  host::wait_copies(groups);
}

inline float round_to_tf32(float x) {
  const unsigned bits = __float_as_uint(x);
  const bool finite = (bits & 0x7f800000) != 0x7f800000;
  return __uint_as_float(finite ? (bits + 0x1000) & 0xffffe000 : bits);
}

using host::lane_of_tile_lane;
using host::tile_lane;

inline void mma_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], const char* file = __builtin_FILE(),
                     unsigned line = __builtin_LINE()) {
  host::mma_tf32(c, a, b, {file, line});
}

inline void mma_bf16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], const char* file = __builtin_FILE(),
                     unsigned line = __builtin_LINE()) {
  host::mma_bf16(c, a, b, {file, line});
}

#endif

}  // namespace zoo::gpu
