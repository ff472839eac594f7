#include <algorithm>

#include "zoo/core/flops.h"
#include "zoo/core/parallel.h"
#include "zoo/ops/dtypes.h"
#include "zoo/ops/linear_recurrence.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

constexpr std::size_t first_other = 4;  // of the inputs: the first behind q, k, v and the initial state

template <typename T>
const T* data_or_null(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}
template <typename T>
T* data_or_null(Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

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

template <typename T>
cpu::RecurrenceInputs<T> RecurrenceOp::pointers(std::span<const Tensor> inputs, const Terms& terms) const {
  return {.q = inputs[0].data<T>(),
          .k = inputs[1].data<T>(),
          .v = inputs[2].data<T>(),
          .initial = inputs[3].data<T>(),
          .log_decay = data_or_null<T>(terms.log_decay),
          .bonus = data_or_null<T>(terms.bonus),
          .step = data_or_null<T>(terms.step),
          .skip = data_or_null<T>(terms.skip),
          .decay = decay_};
}

Tensors RecurrenceOp::forward(std::span<const Tensor> inputs) {
  const Terms given = terms(inputs);
  return with_real_type(inputs[0].dtype(), name(), [&](auto zero) -> Tensors {
    using T = decltype(zero);
    Tensor y = Tensor::empty(inputs[2].shape(), dtype_of<T>);
    Tensor state = Tensor::empty(inputs[3].shape(), dtype_of<T>);
    checkpoints_ =
        Tensor::empty(state.shape().insert(0, cpu::recurrence_checkpoints(sizes_.length, decay_)), dtype_of<T>);
    cpu::linear_recurrence_forward(sizes_, pointers<T>(inputs, given),
                                   {y.data<T>(), state.data<T>(), checkpoints_.data<T>()});
    count_flops(2 * flops_of_a_product());  // k v^T, S^T q
    return {y, state};
  });
}

Tensors RecurrenceOp::backward(const Executed& executed) {
  const std::span<const Tensor> inputs = executed.inputs;
  const Terms given = terms(inputs);
  return with_real_type(inputs[0].dtype(), name(), [&](auto zero) {
    using T = decltype(zero);
    Tensors gradients(inputs.size());
    bool others_wanted = false;
    for (std::size_t i = first_other; i < inputs.size(); ++i) others_wanted = others_wanted || executed.needs(i);
    for (std::size_t i = 0; i < 4; ++i) {
      const Shape& shape = inputs[i].shape();
      gradients[i] = Tensor::empty(i < 2 ? shape.with(2, sizes_.groups * sizes_.parts) : shape, dtype_of<T>);
    }
    const bool of_channel = decay_ == cpu::RecurrenceDecay::channel_and_step;
    const Shape of_steps{sizes_.batch, sizes_.length, sizes_.heads};
    const auto make = [](bool wanted, const Shape& shape) {
      return wanted ? Tensor::empty(shape, dtype_of<T>) : Tensor{};
    };
    Terms into{.log_decay = make(others_wanted && given.log_decay.defined(),
                                 of_channel ? of_steps.insert(3, sizes_.dk) : of_steps),
               .bonus = make(others_wanted && given.bonus.defined(), {sizes_.batch, sizes_.heads, sizes_.dk}),
               .step = make(given.step.defined(), of_steps),
               .skip = make(given.step.defined(), {sizes_.batch, sizes_.heads})};
    const Tensor dy = executed.output_grad(0);
    cpu::linear_recurrence_backward(
        sizes_, pointers<T>(inputs, given),
        {dy.data<T>(), data_or_null<T>(executed.output_grads[1]), checkpoints_.data<T>()},
        {gradients[0].data<T>(), gradients[1].data<T>(), gradients[2].data<T>(), gradients[3].data<T>(),
         data_or_null<T>(into.log_decay), data_or_null<T>(into.bonus), data_or_null<T>(into.step),
         data_or_null<T>(into.skip)});
    count_flops(4 * flops_of_a_product());  // dq, dk, dv and the gradient's own recurrence
    for (std::size_t i = 0; i < 2; ++i) gradients[i] = sum_parts(gradients[i], sizes_.parts);
    if (into.bonus.defined()) into.bonus = sum(into.bonus, 0);
    if (into.skip.defined()) into.skip = sum(into.skip, 0);
    if (others_wanted) std::ranges::copy(gradients_of_others(inputs, into), gradients.begin() + first_other);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!executed.needs(i)) gradients[i] = {};
    }
    return gradients;
  });
}

double RecurrenceOp::flops_of_a_product() const {
  return 2.0 * static_cast<double>(sizes_.batch * sizes_.length * sizes_.heads * sizes_.dk * sizes_.dv);
}

}  // namespace zoo::ops
