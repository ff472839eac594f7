#include "tests/gpu/words.h"
#include "zoo/gpu/launch.h"

namespace zoo::gpu {

namespace {

__global__ void index_kernel(unsigned* indices) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  indices[block * blockDim.x * blockDim.y * blockDim.z + thread] =
      threadIdx.x + 10 * threadIdx.y + 100 * threadIdx.z + 1000 * (blockIdx.x + 10 * blockIdx.y + 100 * blockIdx.z);
}

__global__ void shuffle_kernel(int by, int width, int* results) {
  const int lane = static_cast<int>(threadIdx.x) % warpSize;
  results += lane * shuffle_results;
  results[0] = __shfl_sync(0xffffffff, lane, by, width);
  results[1] = __shfl_up_sync(0xffffffff, lane, static_cast<unsigned>(by), width);
  results[2] = __shfl_down_sync(0xffffffff, lane, static_cast<unsigned>(by), width);
  results[3] = static_cast<int>(__shfl_xor_sync(0xffffffff, static_cast<double>(lane), by, width));
}

__global__ void vote_kernel(unsigned mask, int* results) {
  const int lane = static_cast<int>(threadIdx.x);
  if ((mask >> lane & 1) == 0) return;
  const int predicate = lane % 3 == 0;
  const unsigned ballot = __ballot_sync(mask, predicate);
  const int any = __any_sync(mask, predicate);
  const int all = __all_sync(mask, predicate);
  const int sum = __reduce_add_sync(mask, predicate);
  __syncwarp(mask);
  if (lane != __ffs(static_cast<int>(mask)) - 1) return;
  results[0] = static_cast<int>(ballot);
  results[1] = any;
  results[2] = all;
  results[3] = sum;
  results[4] = __popc(ballot);
}

__global__ void barrier_kernel(unsigned below, int* results) {
  const int predicate = threadIdx.x < below;
  results += threadIdx.x * barrier_results;
  results[0] = __syncthreads_count(predicate);
  results[1] = __syncthreads_and(predicate);
  results[2] = __syncthreads_or(predicate);
}

__global__ void atomic_kernel(AtomicResults* results) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&results->sum, i);
  atomicMax(&results->largest, i);
  atomicMin(&results->smallest, -i);
  atomicAdd(&results->unsigned_sum, 1U);
  atomicAdd(&results->long_sum, 1ULL << 32);
  atomicAdd(&results->float_sum, 0.5F);
  atomicAdd(&results->double_sum, 0.25);
  if (i == 0) atomicExch(&results->exchanged, 7);
  // A sum by compare and swap, as locks and other operations are made.
  int seen = atomicAdd(&results->swapped, 0);
  int before = 0;
  do {
    before = seen;
    seen = atomicCAS(&results->swapped, before, before + 1);
  } while (seen != before);
}

__global__ void __launch_bounds__(32) vector_kernel(const float* __restrict__ x, float* __restrict__ y) {
  const float4 first = __ldg(reinterpret_cast<const float4*>(x));
  const float2 second = *reinterpret_cast<const float2*>(x + 4);
  const int2 third = *reinterpret_cast<const int2*>(x + 6);
  const float one = fmaf(1.0F, 1.0F, 0.0F) * rsqrtf(1.0F) * expf(0.0F) * fmaxf(0.0F, 1.0F) *
                    static_cast<float>(max(0, 1)) * static_cast<float>(min(1, 2)) * static_cast<float>(32 - __clz(1));
  *reinterpret_cast<float4*>(y) = make_float4(first.x * one, first.y, first.z, first.w);
  *reinterpret_cast<float2*>(y + 4) = make_float2(second.x, second.y);
  y[6] = __int_as_float(third.x);
  y[7] = __uint_as_float(__float_as_uint(__int_as_float(third.y)));
}

}  // namespace

void index_words(unsigned* indices, Stream& stream) {
  launch(index_kernel, dim3(2, 2, 2), dim3(4, 3, 2), 0, stream, indices);
}
void shuffle_words(int by, int width, int* results, Stream& stream) {
  launch(shuffle_kernel, 1, 32, 0, stream, by, width, results);
}
void vote_words(unsigned mask, int* results, Stream& stream) {
  launch(vote_kernel, 1, 32, 0, stream, mask, results);
}
void barrier_words(unsigned threads, unsigned below, int* results, Stream& stream) {
  launch(barrier_kernel, 1, threads, 0, stream, below, results);
}
void atomic_words(unsigned blocks, AtomicResults* results, Stream& stream) {
  launch(atomic_kernel, blocks, 32, 0, stream, results);
}
void vector_words(const float* x, float* y, Stream& stream) {
  launch(vector_kernel, 1, 1, 0, stream, x, y);
}

}  // namespace zoo::gpu
