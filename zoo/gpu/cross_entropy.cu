#include <algorithm>
#include <cfloat>

#include "zoo/gpu/cross_entropy.h"
#include "zoo/gpu/extent.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/warp.h"

namespace zoo::gpu {

namespace {

constexpr int most_threads = 256;

// Of some logits: the largest with its first index, and the sum of e^(logit - largest).
struct Part {
  float largest;
  float sum;
  int index;
};

__device__ __forceinline__ Part together(const Part& a, const Part& b) {
  const bool first = a.largest > b.largest || (a.largest == b.largest && a.index < b.index);
  const Part& best = first ? a : b;
  const Part& other = first ? b : a;
  return {best.largest, fmaf(other.sum, expf(other.largest - best.largest), best.sum), best.index};
}

// A block a row. The gradient may be the logits: a thread reads an element before it writes it, and the label's is read
// before any is written.
__global__ void __launch_bounds__(most_threads)
    cross_entropy_kernel(const float* logits, const std::int32_t* __restrict__ labels, int vocab,
                         double* __restrict__ losses, float* gradient, double factor,
                         std::int32_t* __restrict__ largest) {
  auto* parts = shared_memory<Part>();  // [warps]
  const int threads = static_cast<int>(blockDim.x);
  const int thread = static_cast<int>(threadIdx.x);
  const std::size_t row = blockIdx.x;
  const int label = labels[row];
  logits += row * vocab;
  const float labelled = logits[label];

  // The smallest finite number for "nothing seen yet": its difference to -infinity is not NaN.
  Part own = {-FLT_MAX, 0, vocab};
  for (int i = thread; i < vocab; i += threads) own = together(own, {logits[i], 1, i});
  for (int by = 16; by > 0; by /= 2)
    own = together(own, {__shfl_xor_sync(0xffffffff, own.largest, by), __shfl_xor_sync(0xffffffff, own.sum, by),
                         __shfl_xor_sync(0xffffffff, own.index, by)});
  if (thread % 32 == 0) parts[thread / 32] = own;
  __syncthreads();
  Part all = parts[0];
  for (int warp = 1; warp < threads / 32; ++warp) all = together(all, parts[warp]);

  if (thread == 0) {
    if (losses != nullptr)
      losses[row] = log(static_cast<double>(all.sum)) + (static_cast<double>(all.largest) - labelled);
    if (largest != nullptr) largest[row] = all.index < vocab ? all.index : 0;  // 0 where none is finite
  }
  if (gradient == nullptr) return;
  gradient += row * vocab;
  const auto scale = static_cast<float>(factor / static_cast<double>(all.sum));
  for (int i = thread; i < vocab; i += threads)
    gradient[i] = expf(logits[i] - all.largest) * scale - (i == label ? static_cast<float>(factor) : 0.0F);
}

}  // namespace

void cross_entropy(const cpu::CrossEntropyRows<float>& task, Stream& stream) {
  const int rows = extent("cross_entropy", "rows", task.rows);
  const int vocab = extent("cross_entropy", "vocab", task.vocab, 1);
  if (rows == 0) return;
  const int warps = std::min(most_threads / 32, vocab / 32 + 1);
  launch(cross_entropy_kernel, static_cast<unsigned>(rows), static_cast<unsigned>(warps) * 32,
         static_cast<std::size_t>(warps) * sizeof(Part), stream, task.logits, task.labels, vocab, task.losses,
         task.gradient, task.factor, task.largest);
}

}  // namespace zoo::gpu
