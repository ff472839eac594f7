#include "zoo/cpu/diagonal_scan_selective.h"

#include <utility>

#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/gpu/diagonal_scan_selective.h"
#include "zoo/gpu/traffic_model.h"
#include "zoo/ops/diagonal_scan.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/steps.h"

namespace zoo::ops {

namespace {

template <typename At>
cpu::SelectiveScanInputs<typename At::Real> pointers(const At& at, std::span<const Tensor> inputs) {
  return {at(inputs[0]), at(inputs[1]), at(inputs[2]), at(inputs[3]), at(inputs[4]), at(inputs[5]), at(inputs[6])};
}

// Inputs: x, delta, A, B, C, D, initial. Outputs: y and the last state.
class SelectiveScanOp final : public FusedOp {
 public:
  SelectiveScanOp(const cpu::SelectiveScanSizes& sizes, bool recorded) : sizes_(sizes), recorded_(recorded) {}

  std::string_view name() const override { return "selective_scan"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const DType dtype = inputs[0].dtype();
    Tensor y = Tensor::empty(inputs[0].shape(), dtype);
    Tensor state = Tensor::empty(inputs[6].shape(), dtype);
    if (recorded_) {
      checkpoints_ = Tensor::empty({sizes_.batch, sizes_.chunks(), sizes_.state, sizes_.channels}, dtype);
    }
    dispatch(
        dtype, name(),
        [&](auto at) {
          const cpu::SelectiveScanOutputs<typename decltype(at)::Real> outputs{at(y), at(state),
                                                                               at.if_defined(checkpoints_)};
          if constexpr (at.gpu) {
            gpu::selective_scan_forward(sizes_, pointers(at, inputs), outputs, at.stream());
          } else {
            cpu::selective_scan_forward(sizes_, pointers(at, inputs), outputs);
          }
        },
        has_gpu_kernel());
    count_flops(2 * flops_of_a_product());  // B x, C h
    if constexpr (gpu_built) {
      gpu::model_shared_traffic(
          [&] { return gpu::selective_scan_has_room(sizes_) ? gpu::selective_scan_forward_traffic(sizes_) : 0; });
    }
    return {y, state};
  }

  Tensors backward(const Executed& executed) override {
    const auto [batch, length, channels, state] = sizes_;
    const DType dtype = executed.inputs[0].dtype();
    const auto like = [&](std::size_t i) { return Tensor::empty(executed.inputs[i].shape(), dtype); };
    Tensors gradients{like(0), like(1), {}, {}, {}, {}, like(6)};
    Tensor dA = Tensor::empty({batch, channels, state}, dtype);
    Tensor dD = Tensor::empty({batch, channels}, dtype);
    Tensor dB, dC;  // of each block of channels
    const Tensor dy = executed.output_grad(0);
    const Tensor& dstate = executed.output_grads[1];
    dispatch(
        dtype, name(),
        [&](auto at) {
          std::int64_t blocks = sizes_.blocks();
          if constexpr (at.gpu) blocks = gpu::selective_scan_blocks(sizes_);
          const Shape of_blocks{blocks, sizes_.batch, sizes_.length, sizes_.state};
          dB = Tensor::empty(of_blocks, dtype);
          dC = Tensor::empty(of_blocks, dtype);
          const cpu::SelectiveScanGradients<typename decltype(at)::Real> into{
              at(gradients[0]), at(gradients[1]), at(dA), at(dB), at(dC), at(dD), at(gradients[6])};
          if constexpr (at.gpu) {
            gpu::selective_scan_backward(sizes_, pointers(at, executed.inputs), at(std::as_const(checkpoints_)), at(dy),
                                         at.if_defined(dstate), into, at.stream());
          } else {
            cpu::selective_scan_backward(sizes_, pointers(at, executed.inputs), at(std::as_const(checkpoints_)), at(dy),
                                         at.if_defined(dstate), into);
          }
        },
        has_gpu_kernel());
    count_flops(4 * flops_of_a_product());  // dC, dB, dx and the gradient's own recurrence
    if constexpr (gpu_built) {
      gpu::model_shared_traffic(
          [&] { return gpu::selective_scan_has_room(sizes_) ? gpu::selective_scan_backward_traffic(sizes_) : 0; });
    }
    gradients[2] = sum(dA, 0);
    gradients[3] = sum(dB, 0);
    gradients[4] = sum(dC, 0);
    gradients[5] = sum(dD, 0);
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (!executed.needs(i)) gradients[i] = {};
    }
    return gradients;
  }

  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor &x = inputs[0], &delta = inputs[1], &A = inputs[2], &B = inputs[3], &C = inputs[4], &D = inputs[5];
    Tensor h = inputs[6];
    Tensors y;
    for (std::int64_t t = 0; t < sizes_.length; ++t) {
      const Tensor step = column(step_of(delta, t));
      h = exp(step * A) * h + step * column(step_of(x, t)) * row(step_of(B, t));
      y.push_back(sum(h * row(step_of(C, t)), 2) + D * step_of(x, t));
    }
    return {join_steps(y), h};
  }

 private:
  static Tensor column(const Tensor& x) { return reshape(x, {x.dim(0), x.dim(1), 1}); }
  static Tensor row(const Tensor& x) { return reshape(x, {x.dim(0), 1, x.dim(1)}); }

  // States of many hundred numbers have none.
  bool has_gpu_kernel() const {
    if constexpr (gpu_built) {
      return !on_gpu() || gpu::selective_scan_has_room(sizes_);
    } else {
      return false;
    }
  }

  // At each step a product of the state's size.
  double flops_of_a_product() const {
    return 2.0 * static_cast<double>(sizes_.batch * sizes_.length * sizes_.channels * sizes_.state);
  }

  cpu::SelectiveScanSizes sizes_;
  bool recorded_;
  Tensor checkpoints_;  // states between chunks, for the backward pass
};

}  // namespace

SelectiveScan selective_scan(const Tensor& x, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
                             const Tensor& D, const Tensor& initial) {
  const Tensor inputs[] = {x, delta, A, B, C, D, initial};
  for (const Tensor& input : inputs) check_same_real(x, input, "selective_scan");
  const bool ranks = x.rank() == 3 && A.rank() == 2;
  const bool fits = ranks && delta.shape() == x.shape() && A.dim(0) == x.dim(2) &&
                    B.shape() == x.shape().with(2, A.dim(1)) && C.shape() == B.shape() &&
                    D.shape() == Shape{x.dim(2)} && initial.shape() == Shape{x.dim(0), x.dim(2), A.dim(1)};
  if (!fits) {
    throw Error(
        "selective_scan of x {}, delta {}, A {}, B {}, C {}, D {}, initial {}: needs x, delta [B,T,E], A [E,N], B, C "
        "[B,T,N], D [E], initial [B,E,N]",
        x.shape().str(), delta.shape().str(), A.shape().str(), B.shape().str(), C.shape().str(), D.shape().str(),
        initial.shape().str());
  }
  if (x.dim(1) == 0) return {x, initial};
  const cpu::SelectiveScanSizes sizes{x.dim(0), x.dim(1), x.dim(2), A.dim(1)};
  const Tensors outputs = zoo::apply(std::make_unique<SelectiveScanOp>(sizes, recorded(inputs)), inputs);
  return {outputs[0], outputs[1]};
}

namespace {

OpCase scan_case(std::string name, std::int64_t B, std::int64_t T, std::int64_t E, std::int64_t N) {
  OpCase result{.name = std::move(name), .inputs = {{.shape = {B, T, E}}, {.shape = {B, T, E}}}, .call = {}};
  for (const Shape& shape : {Shape{E, N}, Shape{B, T, N}, Shape{B, T, N}, Shape{E}, Shape{B, E, N}}) {
    result.inputs.push_back({.shape = shape});
  }
  result.call = [](std::span<const Tensor> inputs) {
    const SelectiveScan scan =
        selective_scan(inputs[0], softplus(inputs[1]), neg(exp(inputs[2])), inputs[3], inputs[4], inputs[5], inputs[6]);
    return Tensors{scan.y, scan.state};
  };
  return result;
}

const OpRegistration registration(
    {.name = "selective_scan",
     .cases = {scan_case("odd sizes", 2, 5, 7, 3), scan_case("whole vectors", 1, 3, 64, 2),
               scan_case("three chunks", 1, 35, 3, 2), scan_case("two blocks of channels", 2, 3, 131, 2),
               scan_case("one number a state", 1, 4, 5, 1), scan_case("one step", 3, 1, 5, 4),
               scan_case("no sequences", 0, 3, 4, 2), scan_case("no steps", 2, 0, 4, 2)}});

}  // namespace

}  // namespace zoo::ops
