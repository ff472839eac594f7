#include "zoo/cpu/silu_gate.h"

#include "zoo/core/error.h"
#include "zoo/gpu/silu_gate.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

// Inputs: y and z.
class SiluGate final : public FusedOp {
 public:
  std::string_view name() const override { return "silu_gate"; }

  Tensors fallback(std::span<const Tensor> inputs) override { return {inputs[0] * silu(inputs[1])}; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor &y = inputs[0], &z = inputs[1];
    Tensor result = Tensor::empty(y.shape(), y.dtype());
    dispatch(y.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        gpu::silu_gate(at(y), at(z), at(result), y.size(), at.stream());
      } else {
        cpu::silu_gate(at(y), at(z), at(result), y.size());
      }
    });
    return {result};
  }

  Tensors backward(const Executed& executed) override {
    const Tensor &y = executed.inputs[0], &z = executed.inputs[1];
    const Tensor grad = executed.output_grad();
    Tensors grads(2);
    for (std::size_t i = 0; i < 2; ++i) {
      if (executed.needs(i)) grads[i] = Tensor::empty(y.shape(), y.dtype());
    }
    dispatch(y.dtype(), name(), [&](auto at) {
      auto *dy = at.if_defined(grads[0]), *dz = at.if_defined(grads[1]);
      if constexpr (at.gpu) {
        gpu::silu_gate_backward(at(y), at(z), at(grad), dy, dz, y.size(), at.stream());
      } else {
        cpu::silu_gate_backward(at(y), at(z), at(grad), dy, dz, y.size());
      }
    });
    return grads;
  }
};

}  // namespace

Tensor silu_gate(const Tensor& y, const Tensor& z) {
  check_same_real(y, z, "silu_gate");
  if (y.shape() != z.shape()) {
    throw Error("silu_gate takes two tensors of one shape, it was given {} and {}", y.shape().str(), z.shape().str());
  }
  return apply_one(std::make_unique<SiluGate>(), {y, z});
}

namespace {

OpCase gate_case(std::string name, const Shape& shape) {
  return {.name = std::move(name),
          .inputs = {{.shape = shape}, {.shape = shape}},
          .call = [](std::span<const Tensor> inputs) { return Tensors{silu_gate(inputs[0], inputs[1])}; }};
}

const OpRegistration registration({.name = "silu_gate",
                                   .cases = {gate_case("plain", {4, 16}), gate_case("odd sizes", {2, 3, 37}),
                                             gate_case("one element", {1}), gate_case("empty", {0, 4})}});

}  // namespace

}  // namespace zoo::ops
