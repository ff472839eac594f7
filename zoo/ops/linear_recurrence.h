#pragma once

#include <span>

#include "zoo/core/tape.h"
#include "zoo/cpu/linear_recurrence.h"

namespace zoo::ops {

/// Sizes of a recurrence on q [B,T,G,dk] and v [B,T,H,dv].
cpu::RecurrenceSizes recurrence_sizes(const Tensor& q, const Tensor& v);

/// What the recurrences share, whatever their decay: inputs q, k, v, initial, the decay in whatever form or undefined,
/// and perhaps a bonus or undefined; outputs y and the last state.
class RecurrenceOp : public FusedOp {
 public:
  RecurrenceOp(const cpu::RecurrenceSizes& sizes, cpu::RecurrenceDecay decay);

  Tensors forward(std::span<const Tensor> inputs) override;
  Tensors backward(const Executed& executed) override;

 protected:
  /// The logarithm of the decay, in the form that `decay` stands for.
  virtual Tensor log_decay(std::span<const Tensor> inputs) const = 0;
  /// The gradient of the decay given, from that of its logarithm at each step, [B,T,H] or [B,T,H,dk].
  virtual Tensor decay_gradient(std::span<const Tensor> inputs, const Tensor& gradient) const = 0;

 private:
  template <typename T>
  cpu::RecurrenceInputs<T> pointers(std::span<const Tensor> inputs, const Tensor& log_decay) const;
  /// Of the recurrence as it is defined: at each step a product of the state's size.
  double flops_of_a_product() const;

  cpu::RecurrenceSizes sizes_;
  cpu::RecurrenceDecay decay_;
  Tensor checkpoints_;  // states that forward leaves for backward
};

}  // namespace zoo::ops
