#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>

#include "zoo/nn/layer.h"
#include "zoo/ops/ops.h"

namespace zoo {

/// Keeps the tensor `name` of the state as a list of positions [B, t, ...]: appends a chunk [B, T, ...] and returns the
/// whole, [B, t+T, ...], while the state goes on with its last `keep` positions.
inline Tensor append_to_state(State& state, std::string_view name, const Tensor& chunk,
                              std::int64_t keep = std::numeric_limits<std::int64_t>::max()) {
  const Tensor& past = state.get(name);
  Tensor whole = past.dim(1) == 0 ? chunk : past.append_in_place(chunk, 1);
  if (!whole.defined()) whole = ops::concat({past, chunk}, 1);
  const std::int64_t length = whole.dim(1);
  state.set(name, length <= keep ? whole : ops::slice(whole, 1, length - keep, length));
  return whole;
}

/// The rows that somebody reads of y [B, T, ...], as [R, ...]; y itself when all are read.
inline Tensor read_rows(const Tensor& y, const Context& context) {
  if (context.rows == nullptr) return y;
  return ops::gather_rows(ops::reshape(y, y.shape().remove(0).with(0, y.dim(0) * y.dim(1))), context.rows->indices);
}

/// A projection split into heads: [..., H*d] as [..., H, d].
inline Tensor split_heads(const Tensor& x, std::int64_t heads) {
  return ops::reshape(x, x.shape().with(-1, heads).insert(x.rank(), x.dim(-1) / heads));
}

/// The opposite: [..., H, d] as [..., H*d].
inline Tensor join_heads(const Tensor& x) {
  return ops::reshape(x, x.shape().remove(-1).with(-1, x.dim(-2) * x.dim(-1)));
}

/// The width of each of `heads` heads; throws UsageError when they do not divide d_model.
inline std::int64_t head_width(std::int64_t d_model, std::int64_t heads, std::string_view layer) {
  if (d_model % heads != 0) {
    throw UsageError("layer {}: d_model {} is not divisible by heads {}; choose heads that divide it", layer, d_model,
                     heads);
  }
  return d_model / heads;
}

/// The width of each of `heads` heads that share floor(d_model * expand) channels; throws UsageError naming the option
/// `option` when there are none, or heads do not divide them.
inline std::int64_t split_width(std::int64_t d_model, double expand, std::int64_t heads, std::string_view layer,
                                std::string_view option) {
  const auto channels = static_cast<std::int64_t>(std::floor(static_cast<double>(d_model) * expand));
  if (channels < 1 || channels % heads != 0) {
    throw UsageError("layer {}: d_model {} times {} {} is {} channels, which {} heads cannot share; choose another {}",
                     layer, d_model, option, expand, channels, heads, option);
  }
  return channels / heads;
}

}  // namespace zoo
