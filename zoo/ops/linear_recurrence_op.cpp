#include <algorithm>

#include "zoo/core/flops.h"
#include "zoo/core/parallel.h"
#include "zoo/gpu/linear_recurrence.h"
#include "zoo/gpu/traffic_model.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/linear_recurrence.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

constexpr std::size_t first_other = 4;  // of the inputs: the first behind q, k, v and the initial state

// [B,T,G*parts,dk] summed over the parts.
Tensor sum_parts(const Tensor& x, std::int64_t parts) {
  if (parts == 1) return x;
  const std::int64_t groups = x.dim(2) / parts;
  return sum(reshape(x, {x.dim(0), x.dim(1), groups, parts, x.dim(3)}), 3);
}

}  // namespace

cpu::RecurrenceSizes recurrence_sizes(const Tensor& q, const Tensor& v) {
  return {.batch = v.dim(0), .length = v.dim(1), .heads = v.dim(2), .groups = q.dim(2), .dk = q.dim(3), .dv = v.dim(3)};
}

RecurrenceOp::RecurrenceOp(const cpu::RecurrenceSizes& sizes, cpu::RecurrenceDecay decay)
    : sizes_(sizes), decay_(decay) {
  const std::int64_t heads_a_group = sizes.heads / std::max<std::int64_t>(sizes.groups, 1);
  if (decay == cpu::RecurrenceDecay::channel_and_step) {
    sizes_.parts = heads_a_group;
    return;
  }
  // As few parts as keep all threads busy: heads of one part share work.
  while (sizes_.batch * sizes_.groups * sizes_.parts < threads() && sizes_.parts < heads_a_group) {
    do {
      ++sizes_.parts;
    } while (heads_a_group % sizes_.parts != 0);
  }
}

template <typename At>
cpu::RecurrenceInputs<typename At::Real> RecurrenceOp::pointers(const At& at, std::span<const Tensor> inputs,
                                                                const Terms& terms) const {
  return {.q = at(inputs[0]),
          .k = at(inputs[1]),
          .v = at(inputs[2]),
          .initial = at(inputs[3]),
          .log_decay = at.if_defined(terms.log_decay),
          .bonus = at.if_defined(terms.bonus),
          .step = at.if_defined(terms.step),
          .skip = at.if_defined(terms.skip),
          .decay = decay_};
}

Tensors RecurrenceOp::forward(std::span<const Tensor> inputs) {
  const Terms given = terms(inputs);
  Tensor y = Tensor::empty(inputs[2].shape(), inputs[2].dtype());
  Tensor state = Tensor::empty(inputs[3].shape(), inputs[3].dtype());
  count_flops(2 * flops_of_a_product());  // k v^T, S^T q
  if constexpr (gpu_built)
    gpu::model_shared_traffic([&] { return gpu::linear_recurrence_forward_traffic(sizes_, decay_); });
  dispatch(y.dtype(), name(), [&](auto at) {
    if constexpr (at.gpu) {
      checkpoints_ = Tensor::empty({gpu::linear_recurrence_checkpoints(sizes_, decay_)});
      gpu::linear_recurrence_forward(sizes_, pointers(at, inputs, given), {at(y), at(state), at(checkpoints_)},
                                     at.precision(), at.stream());
    } else {
      checkpoints_ =
          Tensor::empty(state.shape().insert(0, cpu::recurrence_checkpoints(sizes_.length, decay_)), y.dtype());
      cpu::linear_recurrence_forward(sizes_, pointers(at, inputs, given), {at(y), at(state), at(checkpoints_)});
    }
  });
  return {y, state};
}

Tensors RecurrenceOp::backward(const Executed& executed) {
  const std::span<const Tensor> inputs = executed.inputs;
  const Terms given = terms(inputs);
  const DType dtype = inputs[0].dtype();
  Tensors gradients(inputs.size());
  bool others_wanted = false;
  for (std::size_t i = first_other; i < inputs.size(); ++i) others_wanted = others_wanted || executed.needs(i);
  for (std::size_t i = 0; i < 4; ++i) {
    const Shape& shape = inputs[i].shape();
    gradients[i] = Tensor::empty(i < 2 ? shape.with(2, sizes_.groups * sizes_.parts) : shape, dtype);
  }
  const bool of_channel = decay_ == cpu::RecurrenceDecay::channel_and_step;
  const Shape of_steps{sizes_.batch, sizes_.length, sizes_.heads};
  const auto make = [&](bool wanted, const Shape& shape) { return wanted ? Tensor::empty(shape, dtype) : Tensor{}; };
  Terms into{.log_decay = make(others_wanted && given.log_decay.defined(),
                               of_channel ? of_steps.insert(3, sizes_.dk) : of_steps),
             .bonus = make(others_wanted && given.bonus.defined(), {sizes_.batch, sizes_.heads, sizes_.dk}),
             .step = make(given.step.defined(), of_steps),
             .skip = make(given.step.defined(), {sizes_.batch, sizes_.heads})};
  const Tensor dy = executed.output_grad(0);
  dispatch(dtype, name(), [&](auto at) {
    using T = typename decltype(at)::Real;
    const cpu::RecurrenceOutputs<const T> output_gradients{at(dy), at.if_defined(executed.output_grads[1]),
                                                           at(std::as_const(checkpoints_))};
    const cpu::RecurrenceGradients<T> to{at(gradients[0]),
                                         at(gradients[1]),
                                         at(gradients[2]),
                                         at(gradients[3]),
                                         at.if_defined(into.log_decay),
                                         at.if_defined(into.bonus),
                                         at.if_defined(into.step),
                                         at.if_defined(into.skip)};
    if constexpr (at.gpu) {
      Tensor scratch = Tensor::empty(checkpoints_.shape());
      gpu::linear_recurrence_backward(sizes_, pointers(at, inputs, given), output_gradients, to, at(scratch),
                                      at.precision(), at.stream());
    } else {
      cpu::linear_recurrence_backward(sizes_, pointers(at, inputs, given), output_gradients, to);
    }
  });
  count_flops(4 * flops_of_a_product());  // dq, dk, dv and the gradient's own recurrence
  if constexpr (gpu_built) {
    gpu::model_shared_traffic([&] {
      return gpu::linear_recurrence_backward_traffic(
          sizes_, decay_,
          {.decay = into.log_decay.defined(), .step = into.step.defined(), .bonus = into.bonus.defined()});
    });
  }
  for (std::size_t i = 0; i < 2; ++i) gradients[i] = sum_parts(gradients[i], sizes_.parts);
  if (into.bonus.defined()) into.bonus = sum(into.bonus, 0);
  if (into.skip.defined()) into.skip = sum(into.skip, 0);
  if (others_wanted) std::ranges::copy(gradients_of_others(inputs, into), gradients.begin() + first_other);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!executed.needs(i)) gradients[i] = {};
  }
  return gradients;
}

double RecurrenceOp::flops_of_a_product() const {
  return 2.0 * static_cast<double>(sizes_.batch * sizes_.length * sizes_.heads * sizes_.dk * sizes_.dv);
}

}  // namespace zoo::ops
