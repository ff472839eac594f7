#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "zoo/core/tensor.h"

namespace zoo {

/// By what a token's gradient G_t moves the weights of an inner model, in ops. The statistics advance with each token.
///
///     sgd        U_t = G_t
///     momentum   U_t = M_t,  M_t = 0.9 M_{t-1} + G_t
///     adam       U_t = (M_t / (1 - 0.9^t)) / (sqrt(V_t / (1 - 0.999^t)) + 1e-8),
///                M_t = 0.9 M_{t-1} + 0.1 G_t,  V_t = 0.999 V_{t-1} + 0.001 G_t^2      (t from 1)
class InnerOptimizer {
 public:
  enum class Kind { sgd, momentum, adam };

  InnerOptimizer() = default;
  explicit InnerOptimizer(Kind kind) : kind_(kind) {}

  /// Names of the statistics kept for each weight, all 0 before the first token.
  std::vector<std::string> statistics() const;
  /// Whether updates are linear in gradients, as the dual form needs: U_t = sum_{s<=t} decay^(t-s) G_s.
  bool linear() const { return kind_ != Kind::adam; }
  /// That decay.
  double decay() const { return kind_ == Kind::momentum ? 0.9 : 0; }

  /// U_t [B,G,n,p] of n tokens from their gradients [B,G,n,p], `step` tokens after the first; advances the statistics
  /// [B,G,1,p].
  Tensor updates(const Tensor& gradients, std::span<Tensor> statistics, std::int64_t step) const;

 private:
  Kind kind_ = Kind::sgd;
};

/// decay^(t-s) for s <= t, else 0, where 0^0 = 1: [n,n].
Tensor decay_matrix(std::int64_t n, double decay, DType dtype);
/// decay^(t+1) for t from 0 on: [n,1].
Tensor decay_powers(std::int64_t n, double decay, DType dtype);

}  // namespace zoo
