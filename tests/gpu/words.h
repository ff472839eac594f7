#pragma once

#include "zoo/gpu/stream.h"

// Kernels that use each of CUDA's words that a kernel may use, compiled by nvcc too. Arrays have an element a thread.
namespace zoo::gpu {

/// indices[t] = x + 10 y + 100 z of thread t plus 1000 times the same of its block, in a grid of (2, 2, 2) blocks of
/// (4, 3, 2).
void index_words(unsigned* indices, Stream& stream);

constexpr int shuffle_results = 4;
/// results[lane * 4 ...] = index, up, down and xor shuffles of the lane's number; one warp.
void shuffle_words(int by, int width, int* results, Stream& stream);

constexpr int vote_results = 5;
/// results = ballot, any, all, sum by __reduce_add_sync and number of set bits of lane % 3 == 0 on the lanes of mask;
/// one warp, of which the other lanes do not take part.
void vote_words(unsigned mask, int* results, Stream& stream);

constexpr int barrier_results = 3;
/// results[thread * 3 ...] = __syncthreads_count, _and, _or of thread < below; one block.
void barrier_words(unsigned threads, unsigned below, int* results, Stream& stream);

struct AtomicResults {
  int sum, largest, smallest, exchanged, swapped;
  unsigned unsigned_sum;
  unsigned long long long_sum;
  float float_sum;
  double double_sum;
};
/// What `blocks` blocks of 32 threads, numbered across blocks, make of *results by atomics; it must be zero.
void atomic_words(unsigned blocks, AtomicResults* results, Stream& stream);

/// y = x by float4, float2 and __ldg, times fmaf(1, 1, 0), rsqrtf(1) and the like, which are all 1; 8 numbers.
void vector_words(const float* x, float* y, Stream& stream);

}  // namespace zoo::gpu
