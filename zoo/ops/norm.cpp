#include "zoo/cpu/norm.h"

#include "zoo/gpu/norm.h"
#include "zoo/gpu/traffic_model.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

// What layer_norm and rms_norm share: inputs x, weight and (layer_norm only) bias, where the last two may be undefined.
class Norm : public FusedOp {
 public:
  Norm(bool centred, double epsilon) : centred_(centred), epsilon_(epsilon) {}
  std::string_view name() const override { return centred_ ? "layer_norm" : "rms_norm"; }

  Tensors fallback(std::span<const Tensor> inputs) override {
    Tensor y = inputs[0];
    if (centred_) y = y - mean(y, -1, true);
    y = y * rsqrt(add_scalar(mean(square(y), -1, true), epsilon_));
    if (inputs[1].defined()) y = y * inputs[1];
    if (inputs[2].defined()) y = y + inputs[2];
    return {y};
  }

  Tensors forward(std::span<const Tensor> inputs) override {
    Tensor y = Tensor::empty(inputs[0].shape(), inputs[0].dtype());
    dispatch(y.dtype(), name(), [&](auto at) {
      const auto given = input(at, inputs);
      if constexpr (at.gpu) {
        (centred_ ? gpu::layer_norm : gpu::rms_norm)(given, at(y), at.stream());
      } else {
        using T = typename decltype(at)::Real;
        (centred_ ? cpu::layer_norm<T> : cpu::rms_norm<T>)(given, at(y));
      }
    });
    return {y};
  }

  Tensors backward(const Executed& executed) override {
    Tensors grads(3);
    for (std::size_t i = 0; i < 3; ++i) {
      const Tensor& of = executed.inputs[i];
      if (executed.needs(i)) grads[i] = Tensor::empty(of.shape(), of.dtype());
    }
    const Tensor grad = executed.output_grad();
    dispatch(grad.dtype(), name(), [&](auto at) {
      using T = typename decltype(at)::Real;
      const auto given = input(at, executed.inputs);
      const cpu::NormGradients<T> gradients{at.if_defined(grads[0]), at.if_defined(grads[1]), at.if_defined(grads[2])};
      if constexpr (at.gpu) {
        Tensor scratch = Tensor::empty({gpu::norm_backward_scratch(given.rows, given.count)});
        (centred_ ? gpu::layer_norm_backward : gpu::rms_norm_backward)(given, at(grad), gradients, at(scratch),
                                                                       at.stream());
      } else {
        (centred_ ? cpu::layer_norm_backward<T> : cpu::rms_norm_backward<T>)(given, at(grad), gradients);
      }
    });
    if constexpr (gpu_built) {
      const Tensor& x = executed.inputs[0];
      const std::int64_t count = x.dim(-1);
      const bool sums = count > 0 && (grads[1].defined() || grads[2].defined());
      gpu::model_shared_traffic([&] { return sums ? gpu::norm_backward_traffic(x.size() / count, count) : 0; });
    }
    return grads;
  }

 private:
  template <typename At>
  cpu::NormInput<typename At::Real> input(const At& at, std::span<const Tensor> inputs) const {
    const Tensor& x = inputs[0];
    const std::int64_t count = x.dim(-1);
    return {.x = at(x),
            .weight = at.if_defined(inputs[1]),
            .bias = at.if_defined(inputs[2]),
            .rows = count == 0 ? 0 : x.size() / count,
            .count = count,
            .epsilon = epsilon_};
  }

  bool centred_;
  double epsilon_;
};

void check_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, std::string_view op) {
  check_real(x, op);
  if (x.rank() == 0) throw Error("{} runs over the last axis, it was given a scalar", op);
  for (const Tensor* each : {&weight, &bias}) {
    if (!each->defined()) continue;
    check_same_real(x, *each, op);
    if (each->shape() != Shape{x.dim(-1)}) {
      throw Error("{} of {} takes weight and bias of shape [{}], it was given {}", op, x.shape().str(), x.dim(-1),
                  each->shape().str());
    }
  }
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon) {
  check_norm(x, weight, bias, "layer_norm");
  return apply_one(std::make_unique<Norm>(true, epsilon), {x, weight, bias});
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double epsilon) {
  check_norm(x, weight, {}, "rms_norm");
  return apply_one(std::make_unique<Norm>(false, epsilon), {x, weight, Tensor{}});
}

namespace {

// Inputs: x, then weight and bias where the case has them.
OpCase norm_case(std::string name, Shape x, bool weight, bool bias,
                 std::function<Tensor(const Tensor& x, const Tensor& weight, const Tensor& bias)> call) {
  OpCase result{.name = std::move(name), .inputs = {{.shape = x}}, .call = [=](std::span<const Tensor> inputs) {
                  return Tensors{call(inputs[0], weight ? inputs[1] : Tensor{}, bias ? inputs.back() : Tensor{})};
                }};
  for (int i = 0; i < int{weight} + int{bias}; ++i) result.inputs.push_back({.shape = {x[-1]}});
  return result;
}

OpEntry layer_norm_entry() {
  const auto call = [](const Tensor& x, const Tensor& weight, const Tensor& bias) {
    return layer_norm(x, weight, bias, 1e-5);
  };
  return {
      .name = "layer_norm",
      .cases = {norm_case("plain", {4, 16}, true, true, call), norm_case("odd sizes", {2, 3, 37}, true, true, call),
                norm_case("no weight", {5, 7}, false, false, call),
                norm_case("weight only", {3, 19}, true, false, call), norm_case("bias only", {3, 5}, false, true, call),
                norm_case("more than a block of rows", {300, 3}, true, true, call),
                norm_case("no rows", {0, 4}, true, true, call), norm_case("no channels", {3, 0}, true, true, call)}};
}

OpEntry rms_norm_entry() {
  const auto call = [](const Tensor& x, const Tensor& weight, const Tensor&) { return rms_norm(x, weight, 1e-6); };
  return {
      .name = "rms_norm",
      .cases = {norm_case("plain", {4, 16}, true, false, call), norm_case("odd sizes", {2, 3, 37}, true, false, call),
                norm_case("no weight", {5, 7}, false, false, call),
                norm_case("more than a block of rows", {300, 3}, true, false, call),
                norm_case("no rows", {0, 4}, true, false, call)}};
}

const OpRegistration layer_norm_registration(layer_norm_entry());
const OpRegistration rms_norm_registration(rms_norm_entry());

}  // namespace

}  // namespace zoo::ops
