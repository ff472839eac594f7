#pragma once

#include <algorithm>
#include <cstdint>
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
};

/// The dropout of the weights, [B,H,Tq,Tk]: 0, or 1/(1-p). The number for key s is number s of the stream
/// random.fold(first_sequence + b).fold(h).fold(position of the query), whatever the tiling and the batch's cut.
void attention_dropout_mask(const AttentionSizes& sizes, float* mask);
void attention_dropout_mask(const AttentionSizes& sizes, double* mask);

}  // namespace zoo::cpu
