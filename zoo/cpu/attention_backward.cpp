#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "zoo/core/parallel.h"
#include "zoo/cpu/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/attention_backward.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/attention_tile-inl.h"
#include "zoo/cpu/vector_loop-inl.h"
#include "zoo/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Weights and gradients of the scores of a tile, in place of products: scores become (dropped) weights p, gradients
// become p (dp - delta), where delta_i = sum_s p_is dp_is = dy_i . y_i.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void softmax_gradient(D d, const QueryTile<T>& queries, std::int64_t first, std::int64_t keys,
                                 const ScoreRule<T>& rule, T factor, const T* dropout, const T* log_sum, const T* delta,
                                 T* scores, T* gradients) {
  for_query_vectors(
      d, queries, first, keys, [&](std::int64_t i, std::int64_t s_begin, std::int64_t s_end, bool hidden) HWY_ATTR {
        const auto positions = hn::LoadU(d, queries.lane_positions() + i);
        const auto logarithm = hn::LoadU(d, log_sum + i);
        const auto own_delta = hn::LoadU(d, delta + i);
        for (std::int64_t s = s_begin; s < s_end; ++s) {
          T* at = scores + s * tile + i;
          T* gradient_at = gradients + s * tile + i;
          const auto weight = math::Exp(d, hn::Sub(rule(d, hn::LoadU(d, at), positions, s, hidden), logarithm));
          auto dropped = weight;
          auto gradient = hn::LoadU(d, gradient_at);
          if (dropout != nullptr) {
            const auto kept = hn::LoadU(d, dropout + s * tile + i);
            dropped = hn::Mul(weight, kept);
            gradient = hn::Mul(gradient, kept);
          }
          hn::StoreU(dropped, d, at);
          hn::StoreU(hn::Mul(hn::Mul(weight, hn::Set(d, factor)), hn::Sub(gradient, own_delta)), d, gradient_at);
        }
        clear_outside(d, s_begin, s_end, keys, scores + i);
        clear_outside(d, s_begin, s_end, keys, gradients + i);
      });
}

// Adds each key's sum over the queries to the bias's gradient, and then multiplies the gradients by the scale.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void add_bias_gradient(D d, std::int64_t count, std::int64_t keys, T scale, T* gradients,
                                  const Rowwise<T>& bias_gradient) {
  for (std::int64_t s = 0; s < keys; ++s) {
    auto sum = hn::Zero(d);
    T* row = gradients + s * tile;
    for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
      const auto gradient = part.load(d, row + i);
      sum = hn::Add(sum, gradient);
      part.store(hn::Mul(gradient, hn::Set(d, scale)), d, row + i);
    });
    bias_gradient.data[s * bias_gradient.stride] += hn::GetLane(hn::SumOfLanes(d, sum));
  }
}

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void backward_tile(D d, const AttentionSizes& sizes, const AttentionInputs<T>& inputs,
                                const AttentionOutputs<const T>& outputs, const T* dy_tensor,
                                const AttentionGradients<T>& into, const Head<T>& head, std::int64_t row,
                                FetchAhead& ahead, Scratch<T>& scratch) {
  const std::int64_t count = std::min(tile, head.rows() - row);
  const QueryTile<T> queries = head.queries(row, count, ahead);
  const Rowwise<const T> q = head.of_queries(inputs.q, row, sizes.d);
  const Rowwise<const T> dy = head.of_queries(dy_tensor, row, sizes.dv);
  const Rowwise<const T> y = head.of_queries(outputs.y, row, sizes.dv);
  const Rowwise<const T> log_sums = head.of_queries(outputs.log_sum, row, 1);
  transpose(d, count, sizes.d, q, Rowwise<T>{scratch.q_transposed.data(), tile});
  transpose(d, count, sizes.dv, dy, Rowwise<T>{scratch.dy_transposed.data(), tile});
  alignas(64) T log_sum[tile] = {};
  alignas(64) T delta[tile] = {};
  for (std::int64_t i = 0; i < count; ++i) {
    log_sum[i] = log_sums.data[i * log_sums.stride];
    delta[i] = dot(d, sizes.dv, dy.data + i * dy.stride, y.data + i * y.stride);
  }
  T* weights = scratch.scores.data();
  T* gradients = scratch.gradients.data();
  const Rowwise<T> dq = head.of_queries(into.q, row, sizes.d);
  const T scale = static_cast<T>(sizes.scale);
  const auto [begin, end] = queries.keys_of(0, count);
  const std::int64_t first_key = begin / 8 * 8;
  for (std::int64_t s = first_key; s < end; s += tile) {
    const std::int64_t keys = std::min(tile, end - s);
    const Rowwise<const T> k = head.of_keys(inputs.k, s, sizes.d);
    if (s + keys < end) {
      FetchAhead& next = queries.next_keys();
      head.fetch_tile(next, inputs.k, s + keys, end, sizes.d);
      head.fetch_tile(next, inputs.v, s + keys, end, sizes.dv);
      head.fetch_tile(next, into.v, s + keys, end, sizes.dv);
      head.fetch_tile(next, into.k, s + keys, end, sizes.d);
    }
    if (sizes.dropout > 0) fill_dropout(d, sizes, head.dropout_key(), queries, s, keys, scratch);
    multiply_scores(d, queries, s, keys, sizes.d, k, scratch.q_transposed.data(), weights);
    multiply_scores(d, queries, s, keys, sizes.dv, head.of_keys(inputs.v, s, sizes.dv), scratch.dy_transposed.data(),
                    gradients);
    const bool with_bias = into.key_bias != nullptr;
    softmax_gradient(d, queries, s, keys, head.score_rule(s), with_bias ? T{1} : scale,
                     sizes.dropout > 0 ? scratch.dropout.data() : nullptr, log_sum, delta, weights, gradients);
    if (with_bias) add_bias_gradient(d, count, keys, scale, gradients, head.of_keys(into.key_bias, s, 1));
    sum_over_queries(d, queries, s, keys, sizes.dv, weights, dy, head.of_keys(into.v, s, sizes.dv));
    sum_over_queries(d, queries, s, keys, sizes.d, gradients, q, head.of_keys(into.k, s, sizes.d));
    if (s == first_key) {
      sum_over_keys<false>(d, queries, s, keys, sizes.d, gradients, k, dq);
    } else {
      sum_over_keys<true>(d, queries, s, keys, sizes.d, gradients, k, dq);
    }
  }
}

// Items [begin, end) of the slices of the B * Hkv pairs of a sequence and a key-value head. Keys and values gather from
// all queries: what a pair's slice i > 0 adds goes to `others[i - 1]`.
template <typename T>
void backward_part(const AttentionSizes& sizes, const AttentionInputs<T>& inputs,
                   const AttentionOutputs<const T>& outputs, const T* dy, const AttentionGradients<T>& gradients,
                   std::span<const AttentionGradients<T>> others, std::int64_t begin, std::int64_t end) {
  Scratch<T> scratch(sizes, true);
  const std::int64_t group = sizes.heads / sizes.kv_heads;
  const std::int64_t slices = 1 + static_cast<std::int64_t>(others.size());
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t pair = item / slices, slice = item % slices;
    const AttentionGradients<T>& into = slice == 0 ? gradients : others[static_cast<std::size_t>(slice - 1)];
    FetchAhead ahead;
    if (slices == 1 && item + 1 < end) {
      const Head<T> next(sizes, inputs, (pair + 1) / sizes.kv_heads, (pair + 1) % sizes.kv_heads * group);
      next.fetch_queries(ahead, inputs.q, sizes.d);
      next.fetch_queries(ahead, dy, sizes.dv);
      next.fetch_queries(ahead, outputs.y, sizes.dv);
      next.fetch_keys(ahead, into.k, sizes.d);
      next.fetch_keys(ahead, into.v, sizes.dv);
      next.fetch_keys(ahead, inputs.k, sizes.d);
      next.fetch_keys(ahead, inputs.v, sizes.dv);
      next.fetch_queries(ahead, into.q, sizes.d);
    }
    for (std::int64_t member = 0; member < group; ++member) {
      const Head<T> head(sizes, inputs, pair / sizes.kv_heads, pair % sizes.kv_heads * group + member);
      if (member == 0) {
        // Keys and values gather from all queries of the group.
        for (std::int64_t s = 0; s < sizes.keys; ++s) {
          std::fill_n(head.of_keys(into.k, s, sizes.d).data, sizes.d, T{0});
          std::fill_n(head.of_keys(into.v, s, sizes.dv).data, sizes.dv, T{0});
          if (into.key_bias != nullptr) *head.of_keys(into.key_bias, s, 1).data = 0;
        }
      }
      for (std::int64_t row = slice * tile; row < head.rows(); row += slices * tile) {
        backward_tile(hn::ScalableTag<T>(), sizes, inputs, outputs, dy, into, head, row, ahead, scratch);
      }
    }
  }
}

// For the dispatch, which takes no templates.
void attention_backward_float(const AttentionSizes& sizes, const AttentionInputs<float>& inputs,
                              const AttentionOutputs<const float>& outputs, const float* dy,
                              const AttentionGradients<float>& into, std::span<const AttentionGradients<float>> others,
                              std::int64_t begin, std::int64_t end) {
  backward_part(sizes, inputs, outputs, dy, into, others, begin, end);
}
void attention_backward_double(const AttentionSizes& sizes, const AttentionInputs<double>& inputs,
                               const AttentionOutputs<const double>& outputs, const double* dy,
                               const AttentionGradients<double>& into,
                               std::span<const AttentionGradients<double>> others, std::int64_t begin,
                               std::int64_t end) {
  backward_part(sizes, inputs, outputs, dy, into, others, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(attention_backward_float);
HWY_EXPORT(attention_backward_double);

namespace {

// Calls body(others, begin, end) for parts of all slices of all pairs, with memory for what slices but the first give
// keys and values, and adds that to the first's, in order.
template <typename T, class Body>
void backward_by_slices(const AttentionSizes& sizes, const AttentionGradients<T>& gradients, const Body& body) {
  const std::int64_t slices = sizes.slices(threads()), pairs = sizes.batch * sizes.kv_heads;
  struct Sum {
    T* AttentionGradients<T>::*tensor;
    std::int64_t count;
  };
  const std::int64_t rows = pairs * sizes.keys;
  const Sum sums[] = {{&AttentionGradients<T>::k, rows * sizes.d},
                      {&AttentionGradients<T>::v, rows * sizes.dv},
                      {&AttentionGradients<T>::key_bias, gradients.key_bias == nullptr ? 0 : rows}};
  std::vector<AttentionGradients<T>> others(static_cast<std::size_t>(slices - 1), gradients);
  std::vector<PoolVector<T>> memory;
  for (AttentionGradients<T>& other : others) {
    for (const Sum& sum : sums) {
      if (sum.count > 0) other.*sum.tensor = memory.emplace_back(static_cast<std::size_t>(sum.count)).data();
    }
  }
  parallel_for(pairs * slices, sizes.pairs_a_thread(),
               [&](std::int64_t begin, std::int64_t end) { body(std::span(std::as_const(others)), begin, end); });
  for (const AttentionGradients<T>& other : others) {
    for (const Sum& sum : sums) {
      parallel_for(sum.count, std::int64_t{1} << 16, [&](std::int64_t begin, std::int64_t end) {
        T* to = gradients.*sum.tensor;
        const T* from = other.*sum.tensor;
        for (std::int64_t i = begin; i < end; ++i) to[i] += from[i];
      });
    }
  }
}

}  // namespace

void attention_backward(const AttentionSizes& sizes, const AttentionInputs<float>& inputs,
                        const AttentionOutputs<const float>& outputs, const float* dy,
                        const AttentionGradients<float>& gradients) {
  backward_by_slices(sizes, gradients, [&](auto others, std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(attention_backward_float)(sizes, inputs, outputs, dy, gradients, others, begin, end);
  });
}

void attention_backward(const AttentionSizes& sizes, const AttentionInputs<double>& inputs,
                        const AttentionOutputs<const double>& outputs, const double* dy,
                        const AttentionGradients<double>& gradients) {
  backward_by_slices(sizes, gradients, [&](auto others, std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(attention_backward_double)(sizes, inputs, outputs, dy, gradients, others, begin, end);
  });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
