#include "zoo/cpu/attention.h"

#include <algorithm>
#include <limits>

#include "zoo/core/parallel.h"
#include "zoo/core/pool.h"
#include "zoo/cpu/attention_dropout.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/attention.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/attention_tile-inl.h"
#include "zoo/cpu/vector_loop-inl.h"
#include "zoo/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Scratch memory of a thread; [key][query] tiles, and what is kept of each query.
template <typename T>
struct Scratch {
  Scratch(const AttentionSizes& sizes, bool backward)
      : q_transposed(static_cast<std::size_t>(sizes.d * tile)),
        dy_transposed(static_cast<std::size_t>(backward ? sizes.dv * tile : 0)),
        sums(static_cast<std::size_t>(backward ? 0 : sizes.dv * tile)),
        scores(tile * tile),
        gradients(static_cast<std::size_t>(backward ? tile * tile : 0)),
        dropout(static_cast<std::size_t>(sizes.dropout > 0 ? tile * tile : 0)),
        dropout_rows(dropout.size()) {}

  PoolVector<T> q_transposed;
  PoolVector<T> dy_transposed;
  PoolVector<T> sums;
  PoolVector<T> scores;
  PoolVector<T> gradients;
  PoolVector<T> dropout;
  PoolVector<T> dropout_rows;
};

// Dropout factors of a tile, [key][query].
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void fill_dropout(D d, const AttentionSizes& sizes, RandomKey key, const QueryTile<T>& queries,
                             std::int64_t first, std::int64_t keys, Scratch<T>& scratch) {
  for (std::int64_t i = 0; i < queries.count(); ++i) {
    attention_dropout_row(sizes, key, queries.position(i), first, keys, scratch.dropout_rows.data() + i * tile);
  }
  transpose(d, queries.count(), keys, Rowwise<const T>{scratch.dropout_rows.data(), tile},
            Rowwise<T>{scratch.dropout.data(), tile});
}

// One query head of one sequence: its rows of the inputs.
template <typename T>
class Head {
 public:
  Head(const AttentionSizes& sizes, const AttentionInputs<T>& inputs, std::int64_t sequence, std::int64_t head)
      : sizes_(&sizes), inputs_(&inputs), sequence_(sequence), head_(head) {
    first_row_ = inputs.rows == nullptr ? sequence * sizes.queries : inputs.offsets[sequence];
    rows_ = inputs.rows == nullptr ? sizes.queries : inputs.offsets[sequence + 1] - first_row_;
  }

  std::int64_t rows() const { return rows_; }
  // Row `row` of this head in a tensor [rows, H, width].
  template <typename Element>
  Rowwise<Element> of_queries(Element* tensor, std::int64_t row, std::int64_t width) const {
    return {tensor + ((first_row_ + row) * sizes_->heads + head_) * width, sizes_->heads * width};
  }
  // Key `key` of this head in a tensor [B, Tk, Hkv, width].
  template <typename Element>
  Rowwise<Element> of_keys(Element* tensor, std::int64_t key, std::int64_t width) const {
    const std::int64_t kv_head = head_ / (sizes_->heads / sizes_->kv_heads);
    return {tensor + ((sequence_ * sizes_->keys + key) * sizes_->kv_heads + kv_head) * width, sizes_->kv_heads * width};
  }
  // Rows [row, row + count) with their positions among the keys.
  QueryTile<T> queries(std::int64_t row, std::int64_t count) const {
    QueryTile<T> result(*sizes_, count);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t t =
          inputs_->rows == nullptr ? row + i : inputs_->rows[first_row_ + row + i] - sequence_ * sizes_->queries;
      result.set_position(i, sizes_->first_query + t);
    }
    result.fill_lanes();
    return result;
  }
  ScoreRule<T> score_rule(std::int64_t first_key) const {
    if (inputs_->key_bias == nullptr) return {sizes_, first_key, nullptr, 0};
    const Rowwise<const T> bias = of_keys(inputs_->key_bias, first_key, 1);
    return {sizes_, first_key, bias.data, bias.stride};
  }
  RandomKey dropout_key() const { return cpu::dropout_key(*sizes_, sequence_, head_); }

 private:
  const AttentionSizes* sizes_;
  const AttentionInputs<T>* inputs_;
  std::int64_t sequence_;
  std::int64_t head_;
  std::int64_t first_row_;
  std::int64_t rows_;
};

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
                               Scratch<T>& scratch) {
  const std::int64_t count = std::min(tile, head.rows() - row);
  const QueryTile<T> queries = head.queries(row, count);
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

// Items [begin, end) of the B * Hkv pairs of a sequence and a key-value head.
template <typename T>
void forward_part(const AttentionSizes& sizes, const AttentionInputs<T>& inputs, const AttentionOutputs<T>& outputs,
                  std::int64_t begin, std::int64_t end) {
  Scratch<T> scratch(sizes, false);
  const std::int64_t group = sizes.heads / sizes.kv_heads;
  for (std::int64_t item = begin; item < end; ++item) {
    for (std::int64_t member = 0; member < group; ++member) {
      const Head<T> head(sizes, inputs, item / sizes.kv_heads, item % sizes.kv_heads * group + member);
      for (std::int64_t row = 0; row < head.rows(); row += tile) {
        forward_tile(hn::ScalableTag<T>(), sizes, inputs, outputs, head, row, scratch);
      }
    }
  }
}

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
                                Scratch<T>& scratch) {
  const std::int64_t count = std::min(tile, head.rows() - row);
  const QueryTile<T> queries = head.queries(row, count);
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

template <typename T>
void backward_part(const AttentionSizes& sizes, const AttentionInputs<T>& inputs,
                   const AttentionOutputs<const T>& outputs, const T* dy, const AttentionGradients<T>& into,
                   std::int64_t begin, std::int64_t end) {
  Scratch<T> scratch(sizes, true);
  const std::int64_t group = sizes.heads / sizes.kv_heads;
  for (std::int64_t item = begin; item < end; ++item) {
    for (std::int64_t member = 0; member < group; ++member) {
      const Head<T> head(sizes, inputs, item / sizes.kv_heads, item % sizes.kv_heads * group + member);
      if (member == 0) {
        // Keys and values gather from all queries of the group.
        for (std::int64_t s = 0; s < sizes.keys; ++s) {
          std::fill_n(head.of_keys(into.k, s, sizes.d).data, sizes.d, T{0});
          std::fill_n(head.of_keys(into.v, s, sizes.dv).data, sizes.dv, T{0});
          if (into.key_bias != nullptr) *head.of_keys(into.key_bias, s, 1).data = 0;
        }
      }
      for (std::int64_t row = 0; row < head.rows(); row += tile) {
        backward_tile(hn::ScalableTag<T>(), sizes, inputs, outputs, dy, into, head, row, scratch);
      }
    }
  }
}

// For the dispatch, which takes no templates.
void forward_float(const AttentionSizes& sizes, const AttentionInputs<float>& inputs,
                   const AttentionOutputs<float>& outputs, std::int64_t begin, std::int64_t end) {
  forward_part(sizes, inputs, outputs, begin, end);
}
void forward_double(const AttentionSizes& sizes, const AttentionInputs<double>& inputs,
                    const AttentionOutputs<double>& outputs, std::int64_t begin, std::int64_t end) {
  forward_part(sizes, inputs, outputs, begin, end);
}
void backward_float(const AttentionSizes& sizes, const AttentionInputs<float>& inputs,
                    const AttentionOutputs<const float>& outputs, const float* dy,
                    const AttentionGradients<float>& into, std::int64_t begin, std::int64_t end) {
  backward_part(sizes, inputs, outputs, dy, into, begin, end);
}
void backward_double(const AttentionSizes& sizes, const AttentionInputs<double>& inputs,
                     const AttentionOutputs<const double>& outputs, const double* dy,
                     const AttentionGradients<double>& into, std::int64_t begin, std::int64_t end) {
  backward_part(sizes, inputs, outputs, dy, into, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(forward_float);
HWY_EXPORT(forward_double);
HWY_EXPORT(backward_float);
HWY_EXPORT(backward_double);

namespace {

// Pairs of a sequence and a key-value head that are worth a thread: a pair is near 4 Tq Tk d operations.
std::int64_t grain(const AttentionSizes& sizes) {
  const std::int64_t work = sizes.queries * sizes.keys * (sizes.d + sizes.dv) * (sizes.heads / sizes.kv_heads);
  return 1 + 200000 / std::max<std::int64_t>(work, 1);
}

}  // namespace

void attention_forward(const AttentionSizes& sizes, const AttentionInputs<float>& inputs,
                       const AttentionOutputs<float>& outputs) {
  parallel_for(sizes.batch * sizes.kv_heads, grain(sizes), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(forward_float)(sizes, inputs, outputs, begin, end);
  });
}

void attention_forward(const AttentionSizes& sizes, const AttentionInputs<double>& inputs,
                       const AttentionOutputs<double>& outputs) {
  parallel_for(sizes.batch * sizes.kv_heads, grain(sizes), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(forward_double)(sizes, inputs, outputs, begin, end);
  });
}

void attention_backward(const AttentionSizes& sizes, const AttentionInputs<float>& inputs,
                        const AttentionOutputs<const float>& outputs, const float* dy,
                        const AttentionGradients<float>& gradients) {
  parallel_for(sizes.batch * sizes.kv_heads, grain(sizes), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(backward_float)(sizes, inputs, outputs, dy, gradients, begin, end);
  });
}

void attention_backward(const AttentionSizes& sizes, const AttentionInputs<double>& inputs,
                        const AttentionOutputs<const double>& outputs, const double* dy,
                        const AttentionGradients<double>& gradients) {
  parallel_for(sizes.batch * sizes.kv_heads, grain(sizes), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(backward_double)(sizes, inputs, outputs, dy, gradients, begin, end);
  });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
