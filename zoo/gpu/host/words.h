#pragma once

// CUDA's words for a compiler that does not know CUDA: qualifiers, index variables and barriers. Only kernel files
// include this, by zoo/gpu/kernel.h. The names are CUDA's, macros included; every barrier learns its call site by a
// default argument.

#include "zoo/gpu/host/fault_text.h"
#include "zoo/gpu/host/vector_types.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
// A block runs on one thread of the machine. What a block leaves here the next one finds: nothing poisons it, since the
// variables of a module share one image with all its other thread_locals. shared_memory() is poisoned and guarded.
#define __shared__ static thread_local

extern constinit thread_local uint3 threadIdx;
extern constinit thread_local uint3 blockIdx;
extern constinit thread_local dim3 blockDim;
extern constinit thread_local dim3 gridDim;
inline constexpr int warpSize = 32;

namespace zoo::gpu::host {

int sync_threads(const char* name, bool predicate, Site site);
void thread_fence();

}  // namespace zoo::gpu::host

inline void __syncthreads(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
  zoo::gpu::host::sync_threads("__syncthreads", false, {file, line});
}
inline int __syncthreads_count(int predicate, const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
  return zoo::gpu::host::sync_threads("__syncthreads_count", predicate != 0, {file, line});
}
inline int __syncthreads_or(int predicate, const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
  return zoo::gpu::host::sync_threads("__syncthreads_or", predicate != 0, {file, line}) != 0;
}
inline int __syncthreads_and(int predicate, const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
  return zoo::gpu::host::sync_threads("__syncthreads_and", predicate == 0, {file, line}) == 0;
}
inline void __threadfence() {
  zoo::gpu::host::thread_fence();
}
