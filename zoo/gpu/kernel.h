#pragma once

// What a kernel file includes: CUDA's words under nvcc, and the host executor's under any other compiler. README.md
// lists what a kernel may use.

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include "zoo/gpu/host/numbers.h"
#include "zoo/gpu/host/warp_words.h"
#include "zoo/gpu/host/words.h"
#endif

#include <cstddef>

namespace zoo::gpu {

#if !defined(__CUDACC__)
namespace host {
void* block_shared_memory(std::size_t bytes, std::size_t alignment);
}  // namespace host
#endif

/// The dynamic shared memory of the block: the bytes that launch() was given, uninitialised (NaN on the host executor),
/// aligned to 128 bytes. T is the first element of an array, or a struct of all that the kernel shares.
template <typename T>
__device__ __forceinline__ T* shared_memory() {
#if defined(__CUDACC__)
  extern __shared__ __align__(128) unsigned char zoo_shared_memory[];
  return reinterpret_cast<T*>(zoo_shared_memory);
#else
  return static_cast<T*>(host::block_shared_memory(sizeof(T), alignof(T)));
#endif
}

}  // namespace zoo::gpu
