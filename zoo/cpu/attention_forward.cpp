#include <algorithm>
#include <limits>

#include "zoo/core/parallel.h"
#include "zoo/cpu/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/attention_forward.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/attention_tile-inl.h"
#include "zoo/cpu/vector_loop-inl.h"
#include "zoo/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The softmax of a tile of scores, in place, with what the earlier tiles left: the largest score and the sum of
// exponentials of each query. `shrink` is what earlier sums have to be multiplied by.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void streaming_softmax(D d, const QueryTile<T>& queries, std::int64_t first, std::int64_t keys,
                                  const ScoreRule<T>& rule, const T* dropout, T* scores, T* largest, T* total,
                                  T* shrink) {
  for_query_vectors(d, queries, first, keys,
                    [&](std::int64_t i, std::int64_t s_begin, std::int64_t s_end, bool hidden) HWY_ATTR {
                      const auto positions = hn::LoadU(d, queries.lane_positions() + i);
                      const auto before = hn::LoadU(d, largest + i);
                      auto maximum = before;
                      for (std::int64_t s = s_begin; s < s_end; ++s) {
                        T* at = scores + s * tile + i;
                        const auto score = rule(d, hn::LoadU(d, at), positions, s, hidden);
                        hn::StoreU(score, d, at);
                        maximum = hn::Max(maximum, score);
                      }
                      const auto factor = math::Exp(d, hn::Sub(before, maximum));
                      auto sum = hn::Mul(hn::LoadU(d, total + i), factor);
                      for (std::int64_t s = s_begin; s < s_end; ++s) {
                        T* at = scores + s * tile + i;
                        auto weight = math::Exp(d, hn::Sub(hn::LoadU(d, at), maximum));
                        sum = hn::Add(sum, weight);
                        if (dropout != nullptr) weight = hn::Mul(weight, hn::LoadU(d, dropout + s * tile + i));
                        hn::StoreU(weight, d, at);
                      }
                      clear_outside(d, s_begin, s_end, keys, scores + i);
                      hn::StoreU(maximum, d, largest + i);
                      hn::StoreU(sum, d, total + i);
                      hn::StoreU(factor, d, shrink + i);
                    });
}

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void forward_tile(D d, const AttentionSizes& sizes, const AttentionInputs<T>& inputs,
                               const AttentionOutputs<T>& outputs, const Head<T>& head, std::int64_t row,
                               FetchAhead& ahead, Scratch<T>& scratch) {
  const std::int64_t count = std::min(tile, head.rows() - row);
  const QueryTile<T> queries = head.queries(row, count, ahead);
  transpose(d, count, sizes.d, head.of_queries(inputs.q, row, sizes.d), Rowwise<T>{scratch.q_transposed.data(), tile});
  // The smallest finite number for "nothing seen yet": its difference to -infinity is not NaN.
  alignas(64) T largest[tile];
  std::fill_n(largest, tile, std::numeric_limits<T>::lowest());
  alignas(64) T total[tile] = {};
  alignas(64) T shrink[tile];
  T* scores = scratch.scores.data();
  const Rowwise<T> sums{scratch.sums.data(), sizes.dv};
  const auto [begin, end] = queries.keys_of(0, count);
  const std::int64_t first_key = begin / 8 * 8;  // where a block of random numbers begins
  for (std::int64_t s = first_key; s < end; s += tile) {
    const std::int64_t keys = std::min(tile, end - s);
    if (s + keys < end) {
      FetchAhead& next = queries.next_keys();
      head.fetch_tile(next, inputs.k, s + keys, end, sizes.d);
      head.fetch_tile(next, inputs.v, s + keys, end, sizes.dv);
    }
    if (sizes.dropout > 0) fill_dropout(d, sizes, head.dropout_key(), queries, s, keys, scratch);
    multiply_scores(d, queries, s, keys, sizes.d, head.of_keys(inputs.k, s, sizes.d), scratch.q_transposed.data(),
                    scores);
    streaming_softmax(d, queries, s, keys, head.score_rule(s), sizes.dropout > 0 ? scratch.dropout.data() : nullptr,
                      scores, largest, total, shrink);
    const Rowwise<const T> v = head.of_keys(inputs.v, s, sizes.dv);
    if (s == first_key) {
      sum_over_keys<false>(d, queries, s, keys, sizes.dv, scores, v, sums);
    } else {
      scale_rows(d, count, sizes.dv, shrink, Rowwise<const T>{sums.data, sums.stride}, sums);
      sum_over_keys<true>(d, queries, s, keys, sizes.dv, scores, v, sums);
    }
  }
  const Rowwise<T> log_sum = head.of_queries(outputs.log_sum, row, 1);
  alignas(64) T logarithms[tile];
  for (std::int64_t i = 0; i < tile; i += static_cast<std::int64_t>(hn::Lanes(d))) {
    const auto sum = hn::LoadU(d, total + i);
    hn::StoreU(hn::Add(hn::LoadU(d, largest + i), math::Log(d, sum)), d, logarithms + i);
    hn::StoreU(hn::Div(hn::Set(d, T{1}), sum), d, total + i);
  }
  for (std::int64_t i = 0; i < count; ++i) log_sum.data[i * log_sum.stride] = logarithms[i];
  scale_rows(d, count, sizes.dv, total, Rowwise<const T>{sums.data, sums.stride},
             head.of_queries(outputs.y, row, sizes.dv));
}

// Items [begin, end) of the slices of the B * Hkv pairs of a sequence and a key-value head.
template <typename T>
void forward_part(const AttentionSizes& sizes, const AttentionInputs<T>& inputs, const AttentionOutputs<T>& outputs,
                  std::int64_t slices, std::int64_t begin, std::int64_t end) {
  Scratch<T> scratch(sizes, false);
  const std::int64_t group = sizes.heads / sizes.kv_heads;
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t pair = item / slices, slice = item % slices;
    FetchAhead ahead;
    if (slices == 1 && item + 1 < end) {
      const Head<T> next(sizes, inputs, (pair + 1) / sizes.kv_heads, (pair + 1) % sizes.kv_heads * group);
      next.fetch_queries(ahead, inputs.q, sizes.d);
      next.fetch_keys(ahead, inputs.k, sizes.d);
      next.fetch_keys(ahead, inputs.v, sizes.dv);
      next.fetch_queries(ahead, outputs.y, sizes.dv);
    }
    for (std::int64_t member = 0; member < group; ++member) {
      const Head<T> head(sizes, inputs, pair / sizes.kv_heads, pair % sizes.kv_heads * group + member);
      for (std::int64_t row = slice * tile; row < head.rows(); row += slices * tile) {
        forward_tile(hn::ScalableTag<T>(), sizes, inputs, outputs, head, row, ahead, scratch);
      }
    }
  }
}

// For the dispatch, which takes no templates.
void attention_forward_float(const AttentionSizes& sizes, const AttentionInputs<float>& inputs,
                             const AttentionOutputs<float>& outputs, std::int64_t slices, std::int64_t begin,
                             std::int64_t end) {
  forward_part(sizes, inputs, outputs, slices, begin, end);
}
void attention_forward_double(const AttentionSizes& sizes, const AttentionInputs<double>& inputs,
                              const AttentionOutputs<double>& outputs, std::int64_t slices, std::int64_t begin,
                              std::int64_t end) {
  forward_part(sizes, inputs, outputs, slices, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(attention_forward_float);
HWY_EXPORT(attention_forward_double);

void attention_forward(const AttentionSizes& sizes, const AttentionInputs<float>& inputs,
                       const AttentionOutputs<float>& outputs) {
  const std::int64_t slices = sizes.slices(threads());
  parallel_for(sizes.batch * sizes.kv_heads * slices, sizes.pairs_a_thread(),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(attention_forward_float)(sizes, inputs, outputs, slices, begin, end);
               });
}

void attention_forward(const AttentionSizes& sizes, const AttentionInputs<double>& inputs,
                       const AttentionOutputs<double>& outputs) {
  const std::int64_t slices = sizes.slices(threads());
  parallel_for(sizes.batch * sizes.kv_heads * slices, sizes.pairs_a_thread(),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(attention_forward_double)(sizes, inputs, outputs, slices, begin, end);
               });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
