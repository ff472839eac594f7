#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "zoo/core/parallel.h"
#include "zoo/core/pool.h"
#include "zoo/cpu/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/attention_one_query.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/vector_loop-inl.h"
#include "zoo/cpu/vector_math-inl.h"

// Decoding reads every key and value once, and has little to compute from them: heads are taken together, so that
// memory is read from end to end, and a thread takes a block of keys. What the blocks give is put together in their
// order, so that the bits do not depend on the number of threads.

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class D, typename T = hn::TFromD<D>>
HWY_INLINE T dot_product(D d, const T* a, const T* b, std::int64_t count) {
  auto sum = hn::Zero(d);
  for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
    sum = hn::MulAdd(part.load(d, a + i), part.load(d, b + i), sum);
  });
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

// scores[s] to exp(scores[s] - largest); returns {largest, sum of the exponentials}.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE std::pair<T, T> exponentials(D d, std::int64_t count, T* scores) {
  // Not -infinity, whose difference to itself is NaN.
  const auto lowest = hn::Set(d, std::numeric_limits<T>::lowest());
  auto maximum = lowest;
  for_vectors(d, count, [&](std::int64_t s, auto part) HWY_ATTR {
    maximum = hn::Max(maximum, part.masked(d, part.load(d, scores + s), lowest));
  });
  maximum = hn::MaxOfLanes(d, maximum);
  auto sum = hn::Zero(d);
  for_vectors(d, count, [&](std::int64_t s, auto part) HWY_ATTR {
    const auto weight = math::Exp(d, hn::Sub(part.load(d, scores + s), maximum));
    part.store(weight, d, scores + s);
    sum = hn::Add(sum, part.masked(d, weight));
  });
  return {hn::GetLane(maximum), hn::GetLane(hn::SumOfLanes(d, sum))};
}

// sums += the rows [row, row + rows) of v, each times its weight. Rows are `stride` apart.
template <int rows, class D, typename T = hn::TFromD<D>>
HWY_INLINE void add_weighted(D d, const T* weights, const T* v, std::int64_t stride, std::int64_t width, T* sums) {
  for_vectors(d, width, [&](std::int64_t i, auto part) HWY_ATTR {
    auto sum = part.load(d, sums + i);
    for (int row = 0; row < rows; ++row) {
      sum = hn::MulAdd(hn::Set(d, weights[row]), part.load(d, v + row * stride + i), sum);
    }
    part.store(sum, d, sums + i);
  });
}

// What the keys [first, first + count) of a sequence give: for each head the weighted sum of their values [dv], the
// largest score and the sum of exponentials. `weights` is scratch [H, block].
template <typename T>
void attend_to_block(const AttentionSizes& sizes, const AttentionInputs<T>& inputs, std::int64_t sequence,
                     const T* query, std::int64_t first, std::int64_t count, T* weights, T* result) {
  const hn::ScalableTag<T> d;
  const std::int64_t H = sizes.heads, group = H / sizes.kv_heads, width = sizes.dv + 2;
  const std::int64_t k_stride = sizes.kv_heads * sizes.d, v_stride = sizes.kv_heads * sizes.dv;
  const std::int64_t first_row = sequence * sizes.keys + first;
  const T* k = inputs.k + first_row * k_stride;
  for (std::int64_t s = 0; s < count; ++s, k += k_stride) {
    for (std::int64_t h = 0; h < H; ++h) {
      const T bias = inputs.key_bias == nullptr ? T{0} : inputs.key_bias[(first_row + s) * sizes.kv_heads + h / group];
      const T product = dot_product(d, query + h * sizes.d, k + h / group * sizes.d, sizes.d);
      weights[h * attention_block + s] = product * static_cast<T>(sizes.scale) + bias;
    }
  }
  for (std::int64_t h = 0; h < H; ++h) {
    T* own = result + h * width;
    std::fill_n(own, sizes.dv, T{0});
    std::tie(own[sizes.dv], own[sizes.dv + 1]) = exponentials(d, count, weights + h * attention_block);
  }
  const T* v = inputs.v + first_row * v_stride;
  for (std::int64_t s = 0; s < count;) {
    constexpr int at_once = 4;
    const bool several = s + at_once <= count;
    for (std::int64_t h = 0; h < H; ++h) {
      const T *weight = weights + h * attention_block + s, *values = v + h / group * sizes.dv;
      if (several) add_weighted<at_once>(d, weight, values, v_stride, sizes.dv, result + h * width);
      if (!several) add_weighted<1>(d, weight, values, v_stride, sizes.dv, result + h * width);
    }
    s += several ? at_once : 1;
    v += (several ? at_once : 1) * v_stride;
  }
}

// For the dispatch, which takes no templates.
void attend_to_block_float(const AttentionSizes& sizes, const AttentionInputs<float>& inputs, std::int64_t sequence,
                           const float* query, std::int64_t first, std::int64_t count, float* weights, float* result) {
  attend_to_block(sizes, inputs, sequence, query, first, count, weights, result);
}
void attend_to_block_double(const AttentionSizes& sizes, const AttentionInputs<double>& inputs, std::int64_t sequence,
                            const double* query, std::int64_t first, std::int64_t count, double* weights,
                            double* result) {
  attend_to_block(sizes, inputs, sequence, query, first, count, weights, result);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(attend_to_block_float);
HWY_EXPORT(attend_to_block_double);

namespace {

// What all blocks gave of one head, as y [dv]; returns the log-sum-exp. Blocks are `stride` apart.
template <typename T>
T join_blocks(const T* first, std::int64_t stride, std::int64_t blocks, std::int64_t dv, T* y) {
  T largest = first[dv];
  for (std::int64_t block = 1; block < blocks; ++block) largest = std::max(largest, first[block * stride + dv]);
  T total = 0;
  std::fill_n(y, dv, T{0});
  for (std::int64_t block = 0; block < blocks; ++block) {
    const T* from = first + block * stride;
    const T factor = std::exp(from[dv] - largest);
    total += from[dv + 1] * factor;
    for (std::int64_t i = 0; i < dv; ++i) y[i] += from[i] * factor;
  }
  for (std::int64_t i = 0; i < dv; ++i) y[i] /= total;
  return largest + std::log(total);
}

template <typename T, typename Attend>
void forward(const AttentionSizes& sizes, const AttentionInputs<T>& inputs, const AttentionOutputs<T>& outputs,
             const Attend& attend) {
  const auto [begin, end] = sizes.visible(sizes.first_query);
  const std::int64_t first_key = begin, keys = end - begin, H = sizes.heads;
  const std::int64_t blocks = (keys + attention_block - 1) / attention_block;
  const std::int64_t width = sizes.dv + 2, of_block = H * width;
  const std::int64_t rows = inputs.rows == nullptr ? sizes.batch : inputs.offsets[sizes.batch];
  PoolVector<T> partial(static_cast<std::size_t>(rows * blocks * of_block));
  const std::int64_t work = 2 * std::min(keys, attention_block) * H * (sizes.d + sizes.dv);
  parallel_for(rows * blocks, 1 + 200000 / std::max<std::int64_t>(work, 1), [&](std::int64_t from, std::int64_t to) {
    PoolVector<T> weights(static_cast<std::size_t>(H * attention_block));
    for (std::int64_t item = from; item < to; ++item) {
      const std::int64_t row = item / blocks, first = item % blocks * attention_block;
      const std::int64_t sequence = inputs.rows == nullptr ? row : inputs.rows[row];  // b * Tq + t with Tq = 1
      attend(sizes, inputs, sequence, inputs.q + row * H * sizes.d, first_key + first,
             std::min(attention_block, keys - first), weights.data(), partial.data() + item * of_block);
    }
  });
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t h = 0; h < H; ++h) {
      outputs.log_sum[row * H + h] = join_blocks(partial.data() + row * blocks * of_block + h * width, of_block, blocks,
                                                 sizes.dv, outputs.y + (row * H + h) * sizes.dv);
    }
  }
}

}  // namespace

void attention_one_query(const AttentionSizes& sizes, const AttentionInputs<float>& inputs,
                         const AttentionOutputs<float>& outputs) {
  forward(sizes, inputs, outputs, [](auto&&... arguments) {
    HWY_DYNAMIC_DISPATCH(attend_to_block_float)(arguments...);
  });
}
void attention_one_query(const AttentionSizes& sizes, const AttentionInputs<double>& inputs,
                         const AttentionOutputs<double>& outputs) {
  forward(sizes, inputs, outputs, [](auto&&... arguments) {
    HWY_DYNAMIC_DISPATCH(attend_to_block_double)(arguments...);
  });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
