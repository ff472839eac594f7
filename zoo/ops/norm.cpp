#include "zoo/cpu/norm.h"

#include "zoo/ops/dtypes.h"
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
    with_real_type(y.dtype(), name(), [&]<typename T>(T) {
      if (centred_) {
        cpu::layer_norm(input<T>(inputs), y.data<T>());
      } else {
        cpu::rms_norm(input<T>(inputs), y.data<T>());
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
    with_real_type(grad.dtype(), name(), [&]<typename T>(T) {
      const cpu::NormGradients<T> gradients{data_or_null<T>(grads[0]), data_or_null<T>(grads[1]),
                                            data_or_null<T>(grads[2])};
      if (centred_) {
        cpu::layer_norm_backward(input<T>(executed.inputs), grad.data<T>(), gradients);
      } else {
        cpu::rms_norm_backward(input<T>(executed.inputs), grad.data<T>(), gradients);
      }
    });
    return grads;
  }

 private:
  template <typename T>
  static T* data_or_null(Tensor& x) {
    return x.defined() ? x.data<T>() : nullptr;
  }

  template <typename T>
  cpu::NormInput<T> input(std::span<const Tensor> inputs) const {
    const Tensor& x = inputs[0];
    const std::int64_t count = x.dim(-1);
    return {.x = x.data<T>(),
            .weight = inputs[1].defined() ? inputs[1].data<T>() : nullptr,
            .bias = inputs[2].defined() ? inputs[2].data<T>() : nullptr,
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
