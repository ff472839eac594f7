#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>

#include "zoo/core/random.h"

namespace zoo::cpu {

/// Extents and settings of an attention, as ops::attention has resolved them.
struct AttentionSizes {
  std::int64_t batch = 0;
  std::int64_t queries = 0;  ///< Tq, of the whole chunk
  std::int64_t keys = 0;     ///< Tk
  std::int64_t heads = 1;
  std::int64_t kv_heads = 1;
  std::int64_t d = 0;
  std::int64_t dv = 0;
  double scale = 1;
  std::int64_t window = 0;       ///< 0 = all of the past
  std::int64_t first_query = 0;  ///< position of query 0 among the keys
  double dropout = 0;
  RandomKey random;
  std::int64_t first_sequence = 0;

  /// The keys [first, second) that a query at `position` among the keys sees.
  std::pair<std::int64_t, std::int64_t> visible(std::int64_t position) const {
    return {window > 0 ? std::max<std::int64_t>(0, position + 1 - window) : 0, position + 1};
  }
  std::int64_t visible_count(std::int64_t position) const { return visible(position).second - visible(position).first; }
  /// Pairs of a sequence and a key-value head that are worth a thread: one is near 2 Tq Tk (d + dv) operations a query
  /// head.
  std::int64_t pairs_a_thread() const { return 1 + 200000 / std::max<std::int64_t>(operations_of_pair(), 1); }
  /// Slices of a pair's queries that threads take by themselves: 1 where there are pairs enough to keep all threads
  /// about equally busy. Queries alternate between slices a tile at a time, since later ones see more keys.
  std::int64_t slices(std::int64_t threads) const {
    const std::int64_t pairs = batch * kv_heads;
    if (pairs == 0 || pairs >= 4 * threads) return 1;
    const std::int64_t even = threads / std::gcd(pairs, threads);
    return std::max<std::int64_t>(1, std::min({even, queries / tile, operations_of_pair() / 200000}));
  }
  /// Queries, or keys, that the kernels take together.
  static constexpr std::int64_t tile = 64;

 private:
  std::int64_t operations_of_pair() const { return queries * keys * (d + dv) * (heads / kv_heads); }
};

/// Row-major, as ops::attention takes them. With `rows`, q holds the queries of these rows (b * Tq + t) alone, those of
/// sequence b from offsets[b] on; otherwise both are nullptr.
template <typename T>
struct AttentionInputs {
  const T* q;
  const T* k;
  const T* v;
  const T* key_bias;  ///< or nullptr
  const std::int32_t* rows;
  const std::int32_t* offsets;
};

/// y, and for the backward the log-sum-exp of each query's scores, [queries, H].
template <typename T>
struct AttentionOutputs {
  T* y;
  T* log_sum;
};

/// As the inputs; key_bias is nullptr where nobody wants it.
template <typename T>
struct AttentionGradients {
  T* q;
  T* k;
  T* v;
  T* key_bias;
};

/// The key of the dropout of one head of one sequence.
inline RandomKey attention_dropout_key(const AttentionSizes& sizes, std::int64_t sequence, std::int64_t head) {
  return sizes.random.fold(static_cast<std::uint64_t>(sizes.first_sequence + sequence))
      .fold(static_cast<std::uint64_t>(head));
}

/// The dropout factors of all weights, as the kernels apply them: 0 or 1/(1-p), [B,H,Tq,Tk].
void attention_dropout(const AttentionSizes& sizes, float* factors);
void attention_dropout(const AttentionSizes& sizes, double* factors);

/// Streaming softmax over tiles (Milakov and Gimelshein 2018; Dao et al. 2022): the matrix of scores is never whole.
void attention_forward(const AttentionSizes& sizes, const AttentionInputs<float>& inputs,
                       const AttentionOutputs<float>& outputs);
void attention_forward(const AttentionSizes& sizes, const AttentionInputs<double>& inputs,
                       const AttentionOutputs<double>& outputs);
/// The same for queries = 1 without dropout, as fast as keys and values are read: what decoding a token is made of.
void attention_one_query(const AttentionSizes& sizes, const AttentionInputs<float>& inputs,
                         const AttentionOutputs<float>& outputs);
void attention_one_query(const AttentionSizes& sizes, const AttentionInputs<double>& inputs,
                         const AttentionOutputs<double>& outputs);
/// Keys that one thread takes at a time there.
inline constexpr std::int64_t attention_block = 256;
/// The gradients of the inputs for dy, the gradient of y; weights are computed again from the log-sum-exp.
void attention_backward(const AttentionSizes& sizes, const AttentionInputs<float>& inputs,
                        const AttentionOutputs<const float>& outputs, const float* dy,
                        const AttentionGradients<float>& gradients);
void attention_backward(const AttentionSizes& sizes, const AttentionInputs<double>& inputs,
                        const AttentionOutputs<const double>& outputs, const double* dy,
                        const AttentionGradients<double>& gradients);

}  // namespace zoo::cpu
