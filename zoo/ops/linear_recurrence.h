#pragma once

#include <span>

#include "zoo/core/tape.h"
#include "zoo/cpu/linear_recurrence.h"

namespace zoo::ops {

/// Sizes of a recurrence on q [B,T,G,dk] and v [B,T,H,dv].
cpu::RecurrenceSizes recurrence_sizes(const Tensor& q, const Tensor& v);

/// What the recurrences share, whatever their decay: inputs q, k, v, initial, and then others, each of which may be
/// undefined; outputs y and the last state.
class RecurrenceOp : public FusedOp {
 public:
  RecurrenceOp(const cpu::RecurrenceSizes& sizes, cpu::RecurrenceDecay decay);

  Tensors forward(std::span<const Tensor> inputs) override;
  Tensors backward(const Executed& executed) override;

 protected:
  /// What the kernels take beside q, k, v and the initial state, or its gradients; undefined where there is none.
  struct Terms {
    Tensor log_decay;  ///< in the form that the decay stands for; its gradient at each step, [B,T,H] or [B,T,H,dk]
    Tensor bonus;      ///< [H,dk]
    Tensor step;       ///< [B,T,H], with a decay of each head and step
    Tensor skip;       ///< [H], with `step`
  };
  /// The terms that the inputs from the fifth on stand for.
  virtual Terms terms(std::span<const Tensor> inputs) const = 0;
  /// Those inputs' gradients, from the terms'.
  virtual Tensors gradients_of_others(std::span<const Tensor> inputs, const Terms& gradients) const = 0;

 private:
  template <typename At>
  cpu::RecurrenceInputs<typename At::Real> pointers(const At& at, std::span<const Tensor> inputs,
                                                    const Terms& terms) const;
  /// Of the recurrence as it is defined: at each step a product of the state's size.
  double flops_of_a_product() const;

  cpu::RecurrenceSizes sizes_;
  cpu::RecurrenceDecay decay_;
  Tensor checkpoints_;  // states that forward leaves for backward
};

}  // namespace zoo::ops
