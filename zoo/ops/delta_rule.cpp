#include "zoo/ops/delta_rule.h"

#include <cmath>

#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/cpu/delta_rule.h"
#include "zoo/gpu/delta_rule.h"
#include "zoo/gpu/traffic_model.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/op_cases.h"

namespace zoo::ops {

namespace {

template <typename At>
cpu::DeltaRuleInputs<typename At::Real> pointers(const At& at, std::span<const Tensor> inputs) {
  return {at(inputs[0]), at(inputs[1]), at(inputs[2]), at(inputs[3]), at(inputs[4]), at.if_defined(inputs[5])};
}

// Inputs: q, k, v, beta, initial, log_decay or undefined. Outputs: y and the last state.
class DeltaRule final : public FusedOp {
 public:
  explicit DeltaRule(const cpu::DeltaRuleSizes& sizes) : sizes_(sizes) {}

  std::string_view name() const override { return "delta_rule"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    Tensor y = Tensor::empty(inputs[2].shape(), inputs[2].dtype());
    Tensor state = Tensor::empty(inputs[4].shape(), inputs[4].dtype());
    dispatch(
        y.dtype(), name(),
        [&](auto at) {
          if constexpr (at.gpu) {
            checkpoints_ = Tensor::empty({gpu::delta_rule_checkpoints(sizes_)});
            Tensor workspace = Tensor::empty({gpu::delta_rule_forward_workspace(sizes_)});
            gpu::delta_rule_forward(sizes_, pointers(at, inputs), {at(y), at(state)}, at(checkpoints_), at(workspace),
                                    at.precision(), at.stream());
          } else {
            cpu::delta_rule_forward(sizes_, pointers(at, inputs), {at(y), at(state)});
          }
        },
        has_gpu_kernel());
    count_flops(3 * flops_of_a_product());  // k S, k^T e, q S
    if constexpr (gpu_built) {
      gpu::model_shared_traffic(
          [&] { return gpu::delta_rule_fits(sizes_) ? gpu::delta_rule_forward_traffic(sizes_) : 0; });
    }
    return {y, state};
  }

  Tensors backward(const Executed& executed) override {
    const std::span<const Tensor> inputs = executed.inputs;
    Tensors gradients(inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (i < 5 || executed.needs(i)) gradients[i] = Tensor::empty(inputs[i].shape(), inputs[i].dtype());
    }
    const Tensor dy = executed.output_grad(0);
    dispatch(
        dy.dtype(), name(),
        [&](auto at) {
          using T = typename decltype(at)::Real;
          const cpu::DeltaRuleOutputs<const T> output_gradients{at(dy), at.if_defined(executed.output_grads[1])};
          const cpu::DeltaRuleGradients<T> into{at(gradients[0]), at(gradients[1]), at(gradients[2]),
                                                at(gradients[3]), at(gradients[4]), at.if_defined(gradients[5])};
          if constexpr (at.gpu) {
            Tensor workspace = Tensor::empty({gpu::delta_rule_backward_workspace(sizes_)});
            gpu::delta_rule_backward(sizes_, pointers(at, inputs), output_gradients, at(std::as_const(checkpoints_)),
                                     into, at(workspace), at.precision(), at.stream());
          } else {
            cpu::delta_rule_backward(sizes_, pointers(at, inputs), output_gradients, into);
          }
        },
        has_gpu_kernel());
    count_flops(6 * flops_of_a_product());  // two for each product
    if constexpr (gpu_built) {
      gpu::model_shared_traffic([&] {
        return gpu::delta_rule_fits(sizes_) ? gpu::delta_rule_backward_traffic(sizes_, gradients[5].defined(),
                                                                               executed.output_grads[1].defined())
                                            : 0;
      });
    }
    for (std::size_t i = 0; i < 5; ++i) {
      if (!executed.needs(i)) gradients[i] = {};
    }
    return gradients;
  }

  // The definition, step by step.
  Tensors fallback(std::span<const Tensor> inputs) override {
    const std::int64_t B = sizes_.batch, H = sizes_.heads;
    const auto step = [B, H](const Tensor& x, std::int64_t t) {  // [B,T,H,d] or [B,T,H] at t, as [B,H,1,d] or [B,H,1,1]
      return reshape(slice(x, 1, t, t + 1), {B, H, 1, x.rank() == 4 ? x.dim(3) : 1});
    };
    Tensor S = inputs[4];
    Tensors y;
    for (std::int64_t t = 0; t < sizes_.length; ++t) {
      const Tensor q = step(inputs[0], t), k = step(inputs[1], t), v = step(inputs[2], t), beta = step(inputs[3], t);
      if (inputs[5].defined()) S = S * exp(step(inputs[5], t));
      const Tensor e = beta * (v - matmul(k, S));
      S = S + matmul(k, e, true, false);
      y.push_back(reshape(matmul(q, S), {B, 1, H, sizes_.dv}));
    }
    return {concat(y, 1), S};
  }

 private:
  // Of the recurrence as it is defined: at each step a product of the state's size.
  double flops_of_a_product() const {
    return 2.0 * static_cast<double>(sizes_.batch * sizes_.length * sizes_.heads * sizes_.dk * sizes_.dv);
  }

  bool has_gpu_kernel() const {
    if constexpr (gpu_built) return on_gpu() && gpu::delta_rule_fits(sizes_);
    return false;
  }

  cpu::DeltaRuleSizes sizes_;
  Tensor checkpoints_;  // of the GPU's forward pass, for its backward pass
};

bool fits(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& beta, const Tensor& initial,
          const Tensor& log_decay) {
  if (q.rank() != 4 || v.rank() != 4) return false;
  const Shape steps{q.dim(0), q.dim(1), q.dim(2)};
  for (const Tensor* x : {&k, &v, &beta, &initial, &log_decay}) {
    if (x->defined() && x->dtype() != q.dtype()) return false;
  }
  return k.shape() == q.shape() && v.shape().with(3, 0) == q.shape().with(3, 0) && beta.shape() == steps &&
         initial.shape() == Shape{q.dim(0), q.dim(2), q.dim(3), v.dim(3)} &&
         (!log_decay.defined() || log_decay.shape() == steps);
}

}  // namespace

Recurrence delta_rule(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& beta, const Tensor& initial,
                      const Tensor& log_decay) {
  if (!fits(q, k, v, beta, initial, log_decay)) {
    throw Error(
        "delta_rule of q {}, k {}, v {}, beta {}, initial {}, log_decay {}: needs q, k [B,T,H,dk], v [B,T,H,dv], beta "
        "[B,T,H], initial [B,H,dk,dv], log_decay [B,T,H] or none, in one dtype",
        q.shape().str(), k.shape().str(), v.shape().str(), beta.shape().str(), initial.shape().str(),
        log_decay.defined() ? log_decay.shape().str() : "none");
  }
  if (q.dim(1) == 0) return {Tensor::zeros(v.shape(), v.dtype()), initial};
  const Tensor inputs[] = {q, k, v, beta, initial, log_decay};
  const Tensors outputs = zoo::apply(
      std::make_unique<DeltaRule>(cpu::DeltaRuleSizes{q.dim(0), q.dim(1), q.dim(2), q.dim(3), v.dim(3)}), inputs);
  return {outputs[0], outputs[1]};
}

namespace {

// Keys of unit length, as the rule needs them to be stable, and beta from 0 to `largest_beta`.
OpCase delta_case(std::string name, std::int64_t B, std::int64_t T, std::int64_t H, std::int64_t dk, std::int64_t dv,
                  bool decay, double largest_beta = 1) {
  OpCase result{.name = std::move(name), .inputs = {{.shape = {B, T, H, dk}}, {.shape = {B, T, H, dk}}}, .call = {}};
  result.inputs.push_back({.shape = {B, T, H, dv}});
  result.inputs.push_back({.shape = {B, T, H}});
  result.inputs.push_back({.shape = {B, H, dk, dv}});
  if (decay) result.inputs.push_back({.shape = {B, T, H}});
  result.call = [dk, largest_beta](std::span<const Tensor> inputs) {
    const Tensor k =
        rms_norm(inputs[1], Tensor::full({dk}, 1 / std::sqrt(static_cast<double>(dk)), inputs[1].dtype()), 1e-6);
    const Tensor log_decay = inputs.size() == 6 ? log_sigmoid(inputs[5] + 1.0) : Tensor{};
    const Recurrence recurrence =
        delta_rule(inputs[0], k, inputs[2], largest_beta * sigmoid(inputs[3]), inputs[4], log_decay);
    return Tensors{recurrence.y, recurrence.state};
  };
  return result;
}

// Step by step, old errors of a state's gradient shrink as the keys of the next steps meet it. In chunks its parts of
// up to 64 steps are summed with the errors that each has, which cannot shrink any more.
OpCase tolerant(OpCase c) {
  c.tolerance = 4;
  return c;
}

const OpRegistration registration(
    {.name = "delta_rule",
     .cases = {delta_case("no decay", 2, 5, 2, 3, 4, false), delta_case("decay", 2, 7, 3, 4, 3, true),
               delta_case("reflections", 1, 9, 2, 2, 5, false, 2),
               tolerant(delta_case("three chunks", 1, 131, 1, 2, 3, false)),
               tolerant(delta_case("two chunks with decay", 1, 70, 2, 3, 17, true)),
               delta_case("one step", 2, 1, 2, 8, 8, true), delta_case("no sequences", 0, 3, 2, 4, 4, true),
               delta_case("no steps", 2, 0, 2, 4, 4, false)}});

}  // namespace

}  // namespace zoo::ops
