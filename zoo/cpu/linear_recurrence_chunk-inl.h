// What the recurrence's kernels share: rows of heads, and products of a chunk's steps. Included once for each
// instruction set (hence no #pragma once).
#if defined(ZOO_CPU_LINEAR_RECURRENCE_CHUNK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_LINEAR_RECURRENCE_CHUNK_INL_H_
#undef ZOO_CPU_LINEAR_RECURRENCE_CHUNK_INL_H_
#else
#define ZOO_CPU_LINEAR_RECURRENCE_CHUNK_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "zoo/core/pool.h"
#include "zoo/cpu/linear_recurrence.h"
#include "zoo/cpu/small_matmul-inl.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// A set of heads of one sequence that read one group of queries and keys.
struct HeadSet {
  HeadSet(const RecurrenceSizes& all, std::int64_t item)
      : sizes(&all),
        sequence(item / (all.groups * all.parts)),
        part(item % (all.groups * all.parts)),
        group(part / all.parts),
        first_head(part * all.heads_a_part()),
        end_head(first_head + all.heads_a_part()) {}

  const RecurrenceSizes* sizes;
  std::int64_t sequence;
  std::int64_t part;  // of all parts of all groups
  std::int64_t group;
  std::int64_t first_head;
  std::int64_t end_head;

  // Rows, from a step on, of a tensor [B,T,count,width] at `index` of the third axis.
  template <typename Element>
  Rowwise<Element> steps(Element* tensor, std::int64_t first, std::int64_t count, std::int64_t index,
                         std::int64_t width) const {
    return {tensor + ((sequence * sizes->length + first) * count + index) * width, count * width};
  }
  // Queries and keys.
  template <typename T>
  Rowwise<const T> group_steps(const T* tensor, std::int64_t first) const {
    return steps(tensor, first, sizes->groups, group, sizes->dk);
  }
  // Their gradients.
  template <typename T>
  Rowwise<T> part_steps(T* tensor, std::int64_t first) const {
    return steps(tensor, first, sizes->groups * sizes->parts, part, sizes->dk);
  }
  // Values, outputs and their gradients.
  template <typename Element>
  Rowwise<Element> head_steps(Element* tensor, std::int64_t first, std::int64_t head) const {
    return steps(tensor, first, sizes->heads, head, sizes->dv);
  }
  template <typename Element>
  Element* state(Element* tensor, std::int64_t head) const {
    return tensor + (sequence * sizes->heads + head) * sizes->dk * sizes->dv;
  }
  // The state that a segment after the first begins with.
  template <typename Element>
  Element* checkpoint(Element* tensor, std::int64_t segment, std::int64_t head) const {
    return state(tensor + (segment - 1) * sizes->batch * sizes->heads * sizes->dk * sizes->dv, head);
  }
};

// result[t] += sum_{s <= t} scores[t][s] values[s].
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void add_past(D d, std::int64_t n, std::int64_t channels, const Rowwise<const T>& scores,
                         const Rowwise<const T>& values, const Rowwise<T>& result) {
  small_matmul_within<true>(d, n, by_rows(scores), values, result, [channels](std::int64_t t, std::int64_t rows) {
    return BlockRange{0, channels, 0, t + rows};
  });
}

// result[s] += sum_{t >= s} scores[t][s] values[t].
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void add_future(D d, std::int64_t n, std::int64_t channels, const Rowwise<const T>& scores,
                           const Rowwise<const T>& values, const Rowwise<T>& result) {
  small_matmul_within<true>(d, n, by_columns(scores), values, result, [channels, n](std::int64_t s, std::int64_t) {
    return BlockRange{0, channels, s, n};
  });
}

// result = diag(factors) rows state, or 0 while the state is 0. state [in][out]; factors may be nullptr.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void through_state(D d, std::int64_t n, std::int64_t in, std::int64_t out, const Rowwise<const T>& rows,
                              const T* state, bool zero, const T* factors, const Rowwise<T>& result) {
  if (zero) {
    for (std::int64_t i = 0; i < n; ++i) std::fill_n(result.data + i * result.stride, out, T{0});
    return;
  }
  small_matmul<false>(d, n, out, in, by_rows(rows), Rowwise<const T>{state, out}, result);
  if (factors != nullptr) scale_rows(d, n, out, factors, constant(result), result);
}

// sum_i a[i] b[i], in double.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE double long_dot(D d, std::int64_t count, const T* a, const T* b) {
  constexpr std::int64_t block = 1024;
  double sum = 0;
  for (std::int64_t i = 0; i < count; i += block) {
    sum += static_cast<double>(dot(d, std::min(block, count - i), a + i, b + i));
  }
  return sum;
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // ZOO_CPU_LINEAR_RECURRENCE_CHUNK_INL_H_
