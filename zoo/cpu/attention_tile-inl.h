// What attention's forward and backward kernels share: a tile of queries against a tile of keys, and who sees whom.
// Included once for each instruction set (hence no #pragma once).
#if defined(ZOO_CPU_ATTENTION_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_ATTENTION_TILE_INL_H_
#undef ZOO_CPU_ATTENTION_TILE_INL_H_
#else
#define ZOO_CPU_ATTENTION_TILE_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "hwy/highway.h"
#include "zoo/core/pool.h"
#include "zoo/cpu/attention.h"
#include "zoo/cpu/dropout_mask-inl.h"
#include "zoo/cpu/small_matmul-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Queries and keys of a tile. Scores are kept transposed, [key][query]: what belongs to a query (its largest score, its
// sum) then lies along vectors, and no sum across a vector's lanes is needed.
inline constexpr std::int64_t tile = AttentionSizes::tile;

// Asks for memory a few cache lines at a time, while something else is computed. Of the next item: where sequences are
// short, waiting for each item's rows would take longer than its arithmetic. Of the next tile of keys: where sequences
// are long, they come from far away for every tile of queries, and a head's rows lie too far apart for the processor
// to foresee them.
class FetchAhead {
 public:
  // Rows of `bytes` bytes, `stride` bytes apart.
  void add(const void* rows, std::int64_t count, std::int64_t stride, std::int64_t bytes) {
    if (length_ < most && rows != nullptr) list_[length_++] = {static_cast<const char*>(rows), count, stride, bytes};
  }
  // Whether there was anything left to ask for.
  bool step() {
    if (next_ == length_) return false;
    for (int line = 0; line < lines_a_step && next_ < length_; ++line) {
      const Rows& rows = list_[next_];
      __builtin_prefetch(rows.at + row_ * rows.stride + byte_, 0, 2);
      byte_ += 64;
      if (byte_ < rows.bytes) continue;
      byte_ = 0;
      if (++row_ < rows.count) continue;
      row_ = 0;
      ++next_;
    }
    return true;
  }
  void clear() { *this = {}; }

 private:
  struct Rows {
    const char* at;
    std::int64_t count, stride, bytes;
  };
  static constexpr int most = 8;
  static constexpr int lines_a_step = 32;
  Rows list_[most] = {};
  int length_ = 0;
  int next_ = 0;
  std::int64_t row_ = 0;
  std::int64_t byte_ = 0;
};

// Some queries of one head of one sequence, at ascending positions, with what the kernels need of them.
template <typename T>
class QueryTile {
 public:
  QueryTile(const AttentionSizes& sizes, std::int64_t count, FetchAhead& ahead)
      : sizes_(&sizes), count_(count), ahead_(&ahead) {}

  void set_position(std::int64_t i, std::int64_t position) {
    positions_[i] = position;
    lane_positions_[i] = static_cast<T>(position);
  }
  // Lanes beyond the last query repeat it: whole vectors are computed.
  void fill_lanes() { std::fill(lane_positions_ + count_, lane_positions_ + tile, lane_positions_[count_ - 1]); }

  std::int64_t count() const { return count_; }
  std::int64_t position(std::int64_t i) const { return positions_[std::min(i, count_ - 1)]; }
  const T* lane_positions() const { return lane_positions_; }
  // To be called every some hundred operations.
  void fetch_ahead() const {
    if (!next_keys_.step()) ahead_->step();
  }
  // What comes after the keys at hand; forgets what was to come before.
  FetchAhead& next_keys() const {
    next_keys_.clear();
    return next_keys_;
  }

  // The keys [first, second) that queries [i, i + n) see, any of them.
  std::pair<std::int64_t, std::int64_t> keys_of(std::int64_t i, std::int64_t n) const {
    return {sizes_->visible(position(i)).first, sizes_->visible(position(i + n - 1)).second};
  }
  // The queries [first, second) that see any of the keys [s, s + n).
  std::pair<std::int64_t, std::int64_t> queries_of(std::int64_t s, std::int64_t n) const {
    const std::int64_t* end = positions_ + count_;
    const std::int64_t first = std::lower_bound(positions_, end, s) - positions_;
    if (sizes_->window == 0) return {first, count_};
    return {first, std::lower_bound(positions_, end, s + n - 1 + sizes_->window) - positions_};
  }
  // Whether every one of queries [i, i + n) sees every one of keys [s, end).
  bool all_see(std::int64_t i, std::int64_t n, std::int64_t s, std::int64_t end) const {
    return sizes_->visible(position(i + n - 1)).first <= s && end <= sizes_->visible(position(i)).second;
  }

 private:
  const AttentionSizes* sizes_;
  std::int64_t count_;
  FetchAhead* ahead_;
  mutable FetchAhead next_keys_;
  std::int64_t positions_[tile] = {};
  alignas(64) T lane_positions_[tile] = {};
};

// The tile's scores: scores[s][i] = q_i . k_s for keys [first, first + keys), in whole vectors around what is visible.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void multiply_scores(D d, const QueryTile<T>& queries, std::int64_t first, std::int64_t keys,
                                std::int64_t terms, const Rowwise<const T>& k, const T* q_transposed, T* scores) {
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  small_matmul_within<false>(d, keys, Strided<T>{k.data, k.stride, 1}, Rowwise<const T>{q_transposed, tile},
                             Rowwise<T>{scores, tile}, [&queries, first, terms](std::int64_t s, std::int64_t n) {
                               queries.fetch_ahead();
                               const auto [begin, end] = queries.queries_of(first + s, n);
                               return BlockRange{begin / lanes * lanes, (end + lanes - 1) / lanes * lanes, 0, terms};
                             });
}

// result (+)= weights^T values: for each query the sum over the keys that it sees. weights is [key][query].
template <bool add, class D, typename T = hn::TFromD<D>>
HWY_INLINE void sum_over_keys(D d, const QueryTile<T>& queries, std::int64_t first, std::int64_t keys,
                              std::int64_t columns, const T* weights, const Rowwise<const T>& values,
                              const Rowwise<T>& result) {
  small_matmul_within<add>(
      d, queries.count(), Strided<T>{weights, 1, tile}, values, result,
      [&queries, first, keys, columns](std::int64_t i, std::int64_t n) {
        queries.fetch_ahead();
        const auto [begin, end] = queries.keys_of(i, n);
        return BlockRange{0, columns, std::max(begin - first, std::int64_t{0}), std::min(end - first, keys)};
      });
}

// result += weights values: for each key the sum over the queries that see it. weights is [key][query].
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void sum_over_queries(D d, const QueryTile<T>& queries, std::int64_t first, std::int64_t keys,
                                 std::int64_t columns, const T* weights, const Rowwise<const T>& values,
                                 const Rowwise<T>& result) {
  small_matmul_within<true>(d, keys, Strided<T>{weights, tile, 1}, values, result,
                            [&queries, first, columns](std::int64_t s, std::int64_t n) {
                              queries.fetch_ahead();
                              const auto [begin, end] = queries.queries_of(first + s, n);
                              return BlockRange{0, columns, begin, end};
                            });
}

// Calls body(i, s_begin, s_end, hidden) for each vector of queries i with the keys of the tile that any of them sees,
// relative to the tile. hidden tells whether some of them see less.
template <class D, typename T, class Body>
HWY_INLINE void for_query_vectors(D d, const QueryTile<T>& queries, std::int64_t first, std::int64_t keys,
                                  const Body& body) {
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  for (std::int64_t i = 0; i < queries.count(); i += lanes) {
    queries.fetch_ahead();
    const auto [begin, end] = queries.keys_of(i, lanes);
    const std::int64_t s_begin = std::clamp<std::int64_t>(begin - first, 0, keys);
    const std::int64_t s_end = std::clamp<std::int64_t>(end - first, s_begin, keys);
    body(i, s_begin, s_end, !queries.all_see(i, lanes, first + s_begin, first + s_end));
  }
}

// Rows of a tile outside [begin, end), for one vector of queries.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void clear_outside(D d, std::int64_t begin, std::int64_t end, std::int64_t keys, T* column) {
  for (std::int64_t s = 0; s < begin; ++s) hn::StoreU(hn::Zero(d), d, column + s * tile);
  for (std::int64_t s = end; s < keys; ++s) hn::StoreU(hn::Zero(d), d, column + s * tile);
}

// score * scale + bias; -infinity where the query does not see the key.
template <typename T>
struct ScoreRule {
  const AttentionSizes* sizes;
  std::int64_t first;  // position of the tile's key 0
  const T* bias;       // of the tile's key 0, or nullptr
  std::int64_t bias_stride;

  template <class D>
  HWY_INLINE hn::Vec<D> operator()(D d, hn::Vec<D> product, hn::Vec<D> positions, std::int64_t s, bool hidden) const {
    const auto scale = hn::Set(d, static_cast<T>(sizes->scale));
    auto score =
        bias == nullptr ? hn::Mul(product, scale) : hn::MulAdd(product, scale, hn::Set(d, bias[s * bias_stride]));
    if (!hidden) return score;
    const auto none = hn::Set(d, -std::numeric_limits<T>::infinity());
    score = hn::IfThenElse(hn::Ge(positions, hn::Set(d, static_cast<T>(first + s))), score, none);
    if (sizes->window == 0) return score;
    return hn::IfThenElse(hn::Lt(positions, hn::Set(d, static_cast<T>(first + s + sizes->window))), score, none);
  }
};

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

// The dropout of a query's weights on keys [first, first + count): 0, or 1/(1-p). The number that decides
// on key s is number s of the stream key.fold(position of the query), whatever the tiling.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void dropout_row(D, const AttentionSizes& sizes, RandomKey key, std::int64_t position, std::int64_t first,
                            std::int64_t count, T* factors) {
  const std::uint32_t threshold = dropout_threshold(sizes.dropout);
  const T kept = static_cast<T>(1 / (1 - sizes.dropout));
  for_dropout_numbers(key.fold(static_cast<std::uint64_t>(position)), static_cast<std::uint64_t>(first), count,
                      [&](std::int64_t i, std::int64_t n, const std::uint16_t* numbers) HWY_ATTR {
                        for (std::int64_t j = 0; j < n; ++j) factors[i + j] = numbers[j] < threshold ? T{0} : kept;
                      });
}

// Dropout factors of a tile, [key][query].
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void fill_dropout(D d, const AttentionSizes& sizes, RandomKey key, const QueryTile<T>& queries,
                             std::int64_t first, std::int64_t keys, Scratch<T>& scratch) {
  for (std::int64_t i = 0; i < queries.count(); ++i) {
    // Of the keys that the query sees; what lies beyond is multiplied by weights of 0, and stays finite.
    const std::int64_t seen = std::clamp<std::int64_t>(queries.keys_of(i, 1).second - first, 0, keys);
    dropout_row(d, sizes, key, queries.position(i), first, seen, scratch.dropout_rows.data() + i * tile);
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
  QueryTile<T> queries(std::int64_t row, std::int64_t count, FetchAhead& ahead) const {
    QueryTile<T> result(*sizes_, count, ahead);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t t =
          inputs_->rows == nullptr ? row + i : inputs_->rows[first_row_ + row + i] - sequence_ * sizes_->queries;
      result.set_position(i, sizes_->first_query + t);
    }
    result.fill_lanes();
    return result;
  }
  // All of this head's rows of a tensor, to be fetched ahead.
  template <typename Element>
  void fetch_queries(FetchAhead& ahead, Element* tensor, std::int64_t width) const {
    fetch(ahead, of_queries(tensor, 0, width), rows_, width);
  }
  template <typename Element>
  void fetch_keys(FetchAhead& ahead, Element* tensor, std::int64_t width) const {
    fetch(ahead, of_keys(tensor, 0, width), sizes_->keys, width);
  }
  // The keys' rows [first, end), a tile of them at most.
  template <typename Element>
  void fetch_tile(FetchAhead& ahead, Element* tensor, std::int64_t first, std::int64_t end, std::int64_t width) const {
    fetch(ahead, of_keys(tensor, first, width), std::min(tile, end - first), width);
  }
  ScoreRule<T> score_rule(std::int64_t first_key) const {
    if (inputs_->key_bias == nullptr) return {sizes_, first_key, nullptr, 0};
    const Rowwise<const T> bias = of_keys(inputs_->key_bias, first_key, 1);
    return {sizes_, first_key, bias.data, bias.stride};
  }
  RandomKey dropout_key() const { return cpu::attention_dropout_key(*sizes_, sequence_, head_); }

 private:
  // More than the second-level cache holds beside the present item would push that out.
  static constexpr std::int64_t most_bytes = 1 << 16;

  template <typename Element>
  static void fetch(FetchAhead& ahead, const Rowwise<Element>& rows, std::int64_t count, std::int64_t width) {
    const auto size = static_cast<std::int64_t>(sizeof(T));
    if (count * width * size <= most_bytes) ahead.add(rows.data, count, rows.stride * size, width * size);
  }

  const AttentionSizes* sizes_;
  const AttentionInputs<T>* inputs_;
  std::int64_t sequence_;
  std::int64_t head_;
  std::int64_t first_row_;
  std::int64_t rows_;
};

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard, by target
