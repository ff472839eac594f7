#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace zoo::cpu {

/// Tokens of a sequence that are processed at once: some or all of one mini-batch's.
struct FastWeightsPiece {
  std::int64_t begin;  ///< first token of the chunk
  std::int64_t n;      ///< tokens
  std::int64_t index;  ///< of the first token in its mini-batch
  bool ends;           ///< whether its last token is its mini-batch's last
};

/// Extents of q, k, v [B,T,H,widths[0]], of eta [B,T,H], of norms [H,widths[0]], and of the maps: W
/// [B,H,widths[l],widths[l+1]], b [B,H,1,widths[l+1]].
struct FastWeightsSizes {
  static constexpr std::int64_t max_maps = 2;
  static constexpr std::int64_t max_piece = 64;

  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t heads = 1;
  std::int64_t maps = 1;
  std::array<std::int64_t, max_maps + 1> widths = {};
  std::int64_t mini_batch = 16;
  std::int64_t first = 0;
  double epsilon = 1e-6;

  /// The piece that begins at a token.
  FastWeightsPiece piece(std::int64_t begin) const {
    const std::int64_t index = (first + begin) % mini_batch;
    const std::int64_t n = std::min({mini_batch - index, length - begin, max_piece});
    return {begin, n, index, index + n == mini_batch};
  }
  /// The number of pieces.
  std::int64_t pieces() const {
    std::int64_t count = 0;
    for (std::int64_t begin = 0; begin < length; begin += piece(begin).n) ++count;
    return count;
  }
  /// Values of the weights of all maps of one head; with the sums as many again.
  std::int64_t weights() const {
    std::int64_t total = 0;
    for (std::size_t l = 0; l < static_cast<std::size_t>(maps); ++l) total += (widths[l] + 1) * widths[l + 1];
    return total;
  }
  /// Whether a piece can begin within a mini-batch.
  bool begins_within() const { return first > 0 || mini_batch > max_piece; }
  /// Pieces from one checkpoint to the next, about the root of their number: the backward pass keeps what it computes
  /// again of so many pieces.
  std::int64_t checkpoint_spacing() const {
    const std::int64_t count = pieces();
    std::int64_t spacing = 4;
    while (spacing * spacing < count) ++spacing;
    return spacing;
  }
  /// Heads that are worth a thread.
  std::int64_t heads_of_a_thread() const { return 1 + 200000 / std::max<std::int64_t>(length * weights(), 1); }
  /// Values of a checkpoint of one head: the weights, and the sums where a checkpoint can lie within a mini-batch.
  std::int64_t checkpoint_values() const { return weights() * (mini_batch > max_piece ? 2 : 1); }
  /// Checkpoints of one head; the inputs are the first, which is not kept again.
  std::int64_t checkpoints() const { return (std::max<std::int64_t>(pieces(), 1) - 1) / checkpoint_spacing(); }
};

/// The tensors of one map.
template <typename T>
struct FastMapTensors {
  T* W = nullptr;
  T* b = nullptr;
  T* W_sum = nullptr;
  T* b_sum = nullptr;
};

template <typename T>
using FastMaps = std::array<FastMapTensors<T>, FastWeightsSizes::max_maps>;

template <typename T>
struct FastWeightsInputs {
  const T* q;
  const T* k;
  const T* v;
  const T* eta;
  const T* token_scale;  ///< [K]
  const T* norm_weight;
  const T* norm_bias;
  FastMaps<const T> maps;
};

template <typename T>
struct FastWeightsOutputs {
  T* z;
  FastMaps<T> maps;
  T* checkpoints;  ///< [B,H,checkpoints(),checkpoint_values()], or nullptr when there will be no backward pass
};

/// As the inputs, but for token_scale [B,H,K] and the norms [B,H,d], for the caller to sum over sequences (and heads).
template <typename T>
struct FastWeightsGradients {
  T* q;
  T* k;
  T* v;
  T* eta;
  T* token_scale;
  T* norm_weight;
  T* norm_bias;
  FastMaps<T> maps;
};

/// The dual form of zoo::ops::fast_weights (Sun et al. 2024, section 2.5), a piece at a time.
void fast_weights_forward(const FastWeightsSizes& sizes, const FastWeightsInputs<float>& inputs,
                          const FastWeightsOutputs<float>& outputs);
void fast_weights_forward(const FastWeightsSizes& sizes, const FastWeightsInputs<double>& inputs,
                          const FastWeightsOutputs<double>& outputs);
/// The gradients of the inputs for those of z and of the maps behind the last token (nullptr: zero). What the forward
/// pass computed between two checkpoints is computed again.
void fast_weights_backward(const FastWeightsSizes& sizes, const FastWeightsInputs<float>& inputs,
                           const float* checkpoints, const float* z_gradient,
                           const FastMaps<const float>& map_gradients, const FastWeightsGradients<float>& gradients);
void fast_weights_backward(const FastWeightsSizes& sizes, const FastWeightsInputs<double>& inputs,
                           const double* checkpoints, const double* z_gradient,
                           const FastMaps<const double>& map_gradients, const FastWeightsGradients<double>& gradients);

}  // namespace zoo::cpu
