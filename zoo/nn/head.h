#pragma once

#include <vector>

#include "zoo/core/task.h"
#include "zoo/nn/layer.h"
#include "zoo/nn/linear.h"
#include "zoo/nn/norm.h"
#include "zoo/ops/head.h"

namespace zoo {

/// A number counts as correct within this of its target (Hochreiter and Schmidhuber 1997, "Long short-term memory",
/// experiment 4).
inline constexpr double regression_tolerance = 0.04;

/// What the head is asked about the positions that it reads.
struct Answers {
  Tensor labels;   ///< i32 [L]
  Tensor targets;  ///< [L], in the dtype of the model; for regression only
};

/// Turns what the backbone gives at the positions that are read, hidden [R,D], into answers. L = R labels, but for a
/// decoder L = R T: each hidden vector answers for all T positions of its sequence; for a pair L = R / 2: two
/// neighbours answer together.
///
/// language_model: logits = hidden W^T, W the embedding itself or, untied, a parameter head.weight [V,D].
/// classes, regression: logits or the number = hidden W^T + b, parameters head.weight and head.bias.
/// decoder: Linear(GELU(Linear(GELU(...)))) with norms between, of hidden plus a fixed sinusoidal position (Poli et al.
/// 2024, "Mechanistic Design and Scaling of Hybrid Architectures", the compression task).
/// pair: Linear(ReLU(Linear(ReLU(Linear([a, b, a*b, a-b]))))) of the two vectors a and b, through widths 4 D and 2 D
/// (Tay et al. 2021, "Long Range Arena", the retrieval task).
class Head {
 public:
  Head() = default;
  /// `embedding` [V,D] is what a tied head reads with. Declares the others' parameters.
  Head(Builder& builder, const HeadSpec& spec, const Parameter& embedding, bool tied);

  /// The loss summed over labels, a scalar on the tape: cross-entropy in nats, or for regression the squared error.
  Tensor loss(const Tensor& hidden, const Answers& answers) const;

  /// The loss and the correctness of each label, off the tape. A number counts as correct within
  /// regression_tolerance of its target.
  struct Scores {
    PoolVector<double> losses;       ///< [L]
    PoolVector<std::uint8_t> right;  ///< [L]
  };
  Scores score(const Tensor& hidden, const Answers& answers) const;

  /// The weight [outputs, D] of the last projection.
  const Tensor& weight() const { return weight_; }

 private:
  Tensor bias() const { return bias_.defined() ? bias_.value() : Tensor{}; }
  /// What the last projection reads: [L,D], for a pair [L,2D].
  Tensor read(const Tensor& hidden, const Answers& answers) const;
  Tensor read_sequence(const Tensor& hidden, const Answers& answers) const;
  Tensor read_pair(const Tensor& hidden) const;

  HeadSpec spec_;
  Parameter weight_;
  Parameter bias_;
  std::vector<RmsNorm> norms_;       // of a decoder
  std::vector<Linear> projections_;  // of a decoder or a pair
};

}  // namespace zoo
