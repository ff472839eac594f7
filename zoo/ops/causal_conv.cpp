#include "zoo/cpu/causal_conv.h"

#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/ops/dtypes.h"
#include "zoo/ops/families.h"
#include "zoo/ops/op_cases.h"

namespace zoo::ops {

namespace {

template <typename T>
cpu::CausalConvInputs<T> pointers(std::span<const Tensor> inputs) {
  return {inputs[0].data<T>(), inputs[1].data<T>(), inputs[2].defined() ? inputs[2].data<T>() : nullptr,
          inputs[3].data<T>()};
}

// Inputs: x, weight, bias or undefined, state. Outputs: y and the next state.
class CausalConv final : public FusedOp {
 public:
  explicit CausalConv(const cpu::CausalConvSizes& sizes) : sizes_(sizes) {}

  std::string_view name() const override { return "causal_conv"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    return with_real_type(inputs[0].dtype(), name(), [&](auto zero) -> Tensors {
      using T = decltype(zero);
      const Tensor &x = inputs[0], &state = inputs[3];
      Tensor y = Tensor::empty(x.shape(), dtype_of<T>);
      cpu::causal_conv_forward(sizes_, pointers<T>(inputs), y.data<T>());
      count_flops(flops());
      const std::int64_t past = sizes_.kernel - 1, length = sizes_.length;
      const Tensor next =
          length >= past ? slice(x, 1, length - past, length) : concat({slice(state, 1, length, past), x}, 1);
      return {y, next};
    });
  }

  Tensors backward(const Executed& executed) override {
    return with_real_type(executed.inputs[0].dtype(), name(), [&](auto zero) {
      using T = decltype(zero);
      Tensors gradients(executed.inputs.size());
      const auto make = [&](std::size_t i, bool wanted) {
        if (wanted) gradients[i] = Tensor::empty(executed.inputs[i].shape(), dtype_of<T>);
        return wanted ? gradients[i].data<T>() : nullptr;
      };
      const bool inputs_wanted = executed.needs(0) || executed.needs(3);
      const cpu::CausalConvGradients<T> into{make(0, inputs_wanted), make(1, executed.needs(1)),
                                             make(2, executed.needs(2)), make(3, inputs_wanted)};
      const Tensor dy = executed.output_grad(0);
      const Tensor& dnext = executed.output_grads[1];
      cpu::causal_conv_backward(sizes_, pointers<T>(executed.inputs), dy.data<T>(),
                                dnext.defined() ? dnext.data<T>() : nullptr, into);
      count_flops(2 * flops());
      return gradients;
    });
  }

  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor &x = inputs[0], &weight = inputs[1], &bias = inputs[2], &state = inputs[3];
    const std::int64_t T = x.dim(1), K = weight.dim(1);
    const Tensor padded = concat({state, x}, 1);
    Tensor y;
    for (std::int64_t tap = 0; tap < K; ++tap) {
      const Tensor term = slice(padded, 1, tap, tap + T) * reshape(slice(weight, 1, tap, tap + 1), {-1});
      y = y.defined() ? y + term : term;
    }
    if (bias.defined()) y = y + bias;
    return {y, slice(padded, 1, T, T + K - 1)};
  }

 private:
  double flops() const {
    return 2.0 * static_cast<double>(sizes_.batch * sizes_.length * sizes_.channels * sizes_.kernel);
  }

  cpu::CausalConvSizes sizes_;
};

}  // namespace

Convolution causal_conv(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& state) {
  const bool fits = x.rank() == 3 && weight.rank() == 2 && weight.dim(0) == x.dim(2) && weight.dim(1) >= 1 &&
                    (!bias.defined() || (bias.shape() == Shape{x.dim(2)} && bias.dtype() == x.dtype())) &&
                    state.shape() == Shape{x.dim(0), weight.dim(1) - 1, x.dim(2)} && weight.dtype() == x.dtype() &&
                    state.dtype() == x.dtype();
  if (!fits) {
    throw Error(
        "causal_conv of x {}, weight {}, bias {}, state {}: needs x [B,T,C], weight [C,K], bias [C] or none, "
        "state [B,K-1,C], in one dtype",
        x.shape().str(), weight.shape().str(), bias.defined() ? bias.shape().str() : "none", state.shape().str());
  }
  const Tensor inputs[] = {x, weight, bias, state};
  const Tensors outputs = zoo::apply(
      std::make_unique<CausalConv>(cpu::CausalConvSizes{x.dim(0), x.dim(1), x.dim(2), weight.dim(1)}), inputs);
  return {outputs[0], outputs[1]};
}

namespace {

OpCase conv_case(std::string name, std::int64_t B, std::int64_t T, std::int64_t C, std::int64_t K, bool bias) {
  OpCase result{.name = std::move(name), .inputs = {{.shape = {B, T, C}}, {.shape = {C, K}}}, .call = {}};
  result.inputs.push_back({.shape = {B, K - 1, C}});
  if (bias) result.inputs.push_back({.shape = {C}});
  result.call = [](std::span<const Tensor> inputs) {
    const Convolution convolution =
        causal_conv(inputs[0], inputs[1], inputs.size() == 4 ? inputs[3] : Tensor{}, inputs[2]);
    return Tensors{convolution.y, convolution.state};
  };
  return result;
}

const OpRegistration registration(
    {.name = "causal_conv",
     .cases = {conv_case("three taps", 2, 5, 7, 3, true), conv_case("no bias", 2, 4, 3, 4, false),
               conv_case("one tap", 2, 5, 3, 1, true), conv_case("more taps than steps", 2, 2, 18, 9, true),
               conv_case("one step", 3, 1, 16, 4, true), conv_case("no sequences", 0, 3, 4, 3, true),
               conv_case("no steps", 2, 0, 4, 3, true)}});

}  // namespace

}  // namespace zoo::ops
