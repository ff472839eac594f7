#pragma once

#include <cstdint>

#include "zoo/nn/inner_model.h"
#include "zoo/nn/inner_optimizer.h"

namespace zoo {

/// The learner that induces a TTT layer (Sun et al. 2024, "Learning to (learn at test time)", section 3.1): an internal
/// store, `train` and `predict`. The store is the weights W of an inner model g in f(x; W) = g(x; W), or
/// x + LN(g(x; W)), one for each head of each sequence. Of the tokens of a mini-batch, with W_0 the weights at its
/// start and U_j by what the inner optimizer moves the weights for the gradient at W_0 of loss_scale |f(k_j; W_0) -
/// v_j|^2,
///
///     W_i = W_0 - scale_i sum_{j<=i} eta_j U_j,     z_i = f(q_i; W_i).
///
/// The inner gradient comes from the engine, on the tape, so that the outer loss differentiates through it: any inner
/// model made of ops will do. In the primal form each token's U_j and W_i are made; in the dual form, for updates that
/// are linear in gradients, what W_i does to q_i comes from products of q_i with the inputs of earlier tokens.
class Learner {
 public:
  struct Settings {
    bool dual = true;
    double loss_scale = 0.5;
    Tensor norm_weight;  ///< [H,d], or undefined for f = g
    Tensor norm_bias;
  };

  /// One affine map in the store; b, and what belongs to it, undefined where it has none.
  struct Map {
    Tensor W;                            ///< [B,G,in,out] at the start of the mini-batch, G = H * groups of the map
    Tensor b;                            ///< [B,G,1,out]
    Tensor W_sum, b_sum;                 ///< sum_j eta_j U_j of its tokens so far; undefined for none
    Tensors W_statistics, b_statistics;  ///< of the inner optimizer, as W and b
  };
  using Store = PoolVector<Map>;

  /// What tokens of one mini-batch taught, by map.
  struct Lesson {
    Tensors x;       ///< inputs of the map, [B,G,n,in]
    Tensors delta;   ///< gradients of the loss by its results, [B,G,n,out]
    Tensors W_sums;  ///< primal form: sum_{j<=i} eta_j U_j for each token i, [B,G,n,in,out]
    Tensors b_sums;  ///< [B,G,n,1,out]
    Tensor eta;      ///< [B,H,n,1]
    Store before;    ///< the store that they met
  };

  Learner(const InnerModel& model, InnerOptimizer optimizer, Settings settings);

  /// Takes the gradients of n tokens, all of one mini-batch and `step` tokens after the first of the sequence, at the
  /// weights of its start: training views k [B,H,memory+n,d], label views v [B,H,n,d], eta [B,H,n,1]. Sums and
  /// statistics of the store go on.
  Lesson train(Store& store, const Tensor& k, const Tensor& v, const Tensor& eta, std::int64_t step) const;

  /// z [B,H,n,d] of the test views q [B,H,memory+n,d] of the same tokens; scale [n,1], or undefined for 1.
  Tensor predict(const Lesson& lesson, const Tensor& q, const Tensor& scale) const;

  /// Ends the mini-batch: its weights become those of the next one's start. `scale` of its last token, or undefined.
  void finish(Store& store, const Tensor& scale) const;

 private:
  Tensor prediction(const Tensor& x, const InnerModel::Apply& apply) const;
  void take_gradients(Lesson& lesson, const Tensor& k, const Tensor& v) const;
  void add_primal(Lesson& lesson, Store& store, std::int64_t step) const;
  void add_dual(const Lesson& lesson, Store& store) const;
  Tensor apply_primal(const Lesson& lesson, std::size_t l, const Tensor& x, const Tensor& scale) const;
  Tensor apply_dual(const Lesson& lesson, std::size_t l, const Tensor& x, const Tensor& scale) const;

  const InnerModel* model_;
  PoolVector<InnerModel::Map> maps_;
  InnerOptimizer optimizer_;
  Settings settings_;
};

}  // namespace zoo
