#pragma once

#include <cstdint>

#include "zoo/cpu/attention.h"

namespace zoo::cpu {

/// The key of the dropout of one head of one sequence.
inline RandomKey dropout_key(const AttentionSizes& sizes, std::int64_t sequence, std::int64_t head) {
  return sizes.random.fold(static_cast<std::uint64_t>(sizes.first_sequence + sequence))
      .fold(static_cast<std::uint64_t>(head));
}

/// The dropout of a query's weights on keys [first, first + count), `first` a multiple of 8: 0, or 1/(1-p). The number
/// that decides on key s is number s of the stream key.fold(position of the query), whatever the tiling.
void attention_dropout_row(const AttentionSizes& sizes, RandomKey key, std::int64_t position, std::int64_t first,
                           std::int64_t count, float* factors);
void attention_dropout_row(const AttentionSizes& sizes, RandomKey key, std::int64_t position, std::int64_t first,
                           std::int64_t count, double* factors);

/// Of all weights: [B,H,Tq,Tk].
void attention_dropout(const AttentionSizes& sizes, float* factors);
void attention_dropout(const AttentionSizes& sizes, double* factors);

}  // namespace zoo::cpu
