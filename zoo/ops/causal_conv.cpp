#include "zoo/cpu/causal_conv.h"

#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/gpu/causal_conv.h"
#include "zoo/gpu/traffic_model.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/families.h"
#include "zoo/ops/op_cases.h"

namespace zoo::ops {

namespace {

template <typename At>
cpu::CausalConvInputs<typename At::Real> pointers(const At& at, std::span<const Tensor> inputs) {
  return {at(inputs[0]), at(inputs[1]), at.if_defined(inputs[2]), at(inputs[3])};
}

// Inputs: x, weight, bias or undefined, state. Outputs: y in parts of `widths` channels, and the next state.
class CausalConv final : public FusedOp {
 public:
  CausalConv(const cpu::CausalConvSizes& sizes, std::span<const std::int64_t> widths)
      : sizes_(sizes), widths_(widths.begin(), widths.end()) {}

  std::string_view name() const override { return sizes_.silu ? "silu_causal_conv" : "causal_conv"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor &x = inputs[0], &state = inputs[3];
    Tensors outputs;
    for (const std::int64_t width : widths_) outputs.push_back(Tensor::empty(x.shape().with(2, width), x.dtype()));
    dispatch(x.dtype(), name(), [&](auto at) {
      PoolVector<cpu::CausalConvPart<typename decltype(at)::Real>> parts;
      for (std::size_t i = 0; i < widths_.size(); ++i) parts.push_back({widths_[i], at(outputs[i])});
      if constexpr (at.gpu) {
        gpu::causal_conv_forward(sizes_, pointers(at, inputs), parts, at.stream());
      } else {
        cpu::causal_conv_forward(sizes_, pointers(at, inputs), parts);
      }
    });
    count_flops(flops());
    const std::int64_t past = sizes_.kernel - 1, length = sizes_.length;
    outputs.push_back(length >= past ? slice(x, 1, length - past, length)
                                     : concat({slice(state, 1, length, past), x}, 1));
    return outputs;
  }

  Tensors backward(const Executed& executed) override {
    const DType dtype = executed.inputs[0].dtype();
    const bool inputs_wanted = executed.needs(0) || executed.needs(3);
    const bool wanted[] = {inputs_wanted, executed.needs(1), executed.needs(2), inputs_wanted};
    Tensors gradients(executed.inputs.size());
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (wanted[i]) gradients[i] = Tensor::empty(executed.inputs[i].shape(), dtype);
    }
    Tensors dy;
    for (std::size_t i = 0; i < widths_.size(); ++i) dy.push_back(executed.output_grad(i));
    const Tensor& dnext = executed.output_grads[widths_.size()];
    dispatch(dtype, name(), [&](auto at) {
      using T = typename decltype(at)::Real;
      PoolVector<cpu::CausalConvPart<const T>> parts;
      for (std::size_t i = 0; i < widths_.size(); ++i) parts.push_back({widths_[i], at(dy[i])});
      const cpu::CausalConvGradients<T> into{at.if_defined(gradients[0]), at.if_defined(gradients[1]),
                                             at.if_defined(gradients[2]), at.if_defined(gradients[3])};
      if constexpr (at.gpu) {
        Tensor scratch = Tensor::empty({gpu::causal_conv_backward_scratch(sizes_)});
        gpu::causal_conv_backward(sizes_, pointers(at, executed.inputs), parts, at.if_defined(dnext), into, at(scratch),
                                  at.stream());
      } else {
        cpu::causal_conv_backward(sizes_, pointers(at, executed.inputs), parts, at.if_defined(dnext), into);
      }
    });
    count_flops(2 * flops());
    if constexpr (gpu_built) {
      gpu::model_shared_traffic(
          [&] { return gpu::causal_conv_backward_traffic(sizes_, widths_, gradients[0].defined()); });
    }
    return gradients;
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
    if (sizes_.silu) y = silu(y);
    Tensors outputs;
    std::int64_t done = 0;
    for (const std::int64_t width : widths_) {
      outputs.push_back(slice(y, 2, done, done + width));
      done += width;
    }
    outputs.push_back(slice(padded, 1, T, T + K - 1));
    return outputs;
  }

 private:
  double flops() const {
    return 2.0 * static_cast<double>(sizes_.batch * sizes_.length * sizes_.channels * sizes_.kernel);
  }

  cpu::CausalConvSizes sizes_;
  PoolVector<std::int64_t> widths_;
};

Tensors convolve(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& state, bool silu,
                 std::span<const std::int64_t> widths) {
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
  std::int64_t total = 0;
  for (const std::int64_t width : widths) {
    if (width < 0) throw Error("causal_conv was asked for a part of {} channels", width);
    total += width;
  }
  if (total != x.dim(2)) throw Error("causal_conv of {} channels was asked for parts of {} together", x.dim(2), total);
  const Tensor inputs[] = {x, weight, bias, state};
  const cpu::CausalConvSizes sizes{
      .batch = x.dim(0), .length = x.dim(1), .channels = x.dim(2), .kernel = weight.dim(1), .silu = silu};
  return zoo::apply(std::make_unique<CausalConv>(sizes, widths), inputs);
}

}  // namespace

Convolution causal_conv(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& state) {
  const std::int64_t all = x.rank() == 3 ? x.dim(2) : 0;
  const Tensors outputs = convolve(x, weight, bias, state, false, {&all, 1});
  return {outputs[0], outputs[1]};
}

SplitConvolution silu_causal_conv(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& state,
                                  std::initializer_list<std::int64_t> widths) {
  Tensors outputs = convolve(x, weight, bias, state, true, std::span(widths.begin(), widths.size()));
  Tensor next = outputs.back();
  outputs.pop_back();
  return {std::move(outputs), std::move(next)};
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

// Its outputs in two parts.
OpCase silu_case(std::string name, std::int64_t B, std::int64_t T, std::int64_t C, std::int64_t K, bool bias) {
  OpCase result = conv_case(std::move(name), B, T, C, K, bias);
  result.call = [C](std::span<const Tensor> inputs) {
    SplitConvolution convolution = silu_causal_conv(inputs[0], inputs[1], inputs.size() == 4 ? inputs[3] : Tensor{},
                                                    inputs[2], {C / 3, C - C / 3});
    convolution.y.push_back(convolution.state);
    return convolution.y;
  };
  return result;
}

const OpRegistration registration(
    {.name = "causal_conv",
     .cases = {conv_case("three taps", 2, 5, 7, 3, true), conv_case("no bias", 2, 4, 3, 4, false),
               conv_case("one tap", 2, 5, 3, 1, true), conv_case("more taps than steps", 2, 2, 18, 9, true),
               conv_case("one step", 3, 1, 16, 4, true), conv_case("no sequences", 0, 3, 4, 3, true),
               conv_case("no steps", 2, 0, 4, 3, true), conv_case("more channels than a block", 1, 9, 261, 2, true)}});

const OpRegistration silu_registration(
    {.name = "silu_causal_conv",
     .cases = {silu_case("three taps", 2, 5, 7, 3, true), silu_case("no bias", 2, 6, 3, 4, false),
               silu_case("one tap", 2, 5, 3, 1, true), silu_case("more taps than steps", 2, 2, 18, 9, true),
               silu_case("one step", 3, 1, 16, 4, true), silu_case("an empty part", 2, 5, 2, 3, true),
               silu_case("no sequences", 0, 3, 4, 3, true), silu_case("no steps", 2, 0, 4, 3, true)}});

}  // namespace

}  // namespace zoo::ops
