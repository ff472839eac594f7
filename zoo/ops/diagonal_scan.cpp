#include "zoo/ops/diagonal_scan.h"

#include "zoo/core/error.h"
#include "zoo/cpu/diagonal_scan.h"
#include "zoo/gpu/diagonal_scan.h"
#include "zoo/gpu/traffic_model.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/steps.h"

namespace zoo::ops {

namespace {

// Inputs: a, b, initial. Output: h.
class DiagonalScanOp final : public FusedOp {
 public:
  explicit DiagonalScanOp(const cpu::ScanSizes& sizes) : sizes_(sizes) {}

  std::string_view name() const override { return "diagonal_scan"; }
  // Decays near 1 are exact: rounded, 0.999 would be 1.
  Keep keeps_input(std::size_t index) const override { return index == 0 ? Keep::exact : Keep::activation; }
  Keep keeps_output(std::size_t) const override { return Keep::activation; }

  Tensors forward(std::span<const Tensor> inputs) override {
    Tensor h = Tensor::empty(inputs[0].shape(), inputs[0].dtype());
    dispatch(h.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        gpu::diagonal_scan_forward(sizes_, at(inputs[0]), at(inputs[1]), at(inputs[2]), at(h), at.stream());
      } else {
        cpu::diagonal_scan_forward(sizes_, at(inputs[0]), at(inputs[1]), at(inputs[2]), at(h));
      }
    });
    count_shared_traffic();
    return {h};
  }

  Tensors backward(const Executed& executed) override {
    const Tensor &a = executed.inputs[0], &h = executed.outputs[0], &initial = executed.inputs[2];
    const Tensor& dh = executed.output_grads[0];
    Tensors gradients(3);
    for (std::size_t i = 0; i < 3; ++i) gradients[i] = Tensor::empty(executed.inputs[i].shape(), a.dtype());
    dispatch(a.dtype(), name(), [&](auto at) {
      const cpu::DiagonalScanGradients<typename decltype(at)::Real> into{at(gradients[0]), at(gradients[1]),
                                                                         at(gradients[2])};
      if constexpr (at.gpu) {
        gpu::diagonal_scan_backward(sizes_, at(a), at(h), at(initial), at(dh), into, at.stream());
      } else {
        cpu::diagonal_scan_backward(sizes_, at(a), at(h), at(initial), at(dh), into);
      }
    });
    count_shared_traffic();
    for (std::size_t i = 0; i < 3; ++i) {
      if (!executed.needs(i)) gradients[i] = {};
    }
    return gradients;
  }

  Tensors fallback(std::span<const Tensor> inputs) override {
    Tensor h = inputs[2];
    Tensors all;
    for (std::int64_t t = 0; t < sizes_.length; ++t) {
      h = step_of(inputs[0], t) * h + step_of(inputs[1], t);
      all.push_back(h);
    }
    return {join_steps(all)};
  }

 private:
  // Of either pass.
  void count_shared_traffic() const {
    if constexpr (gpu_built) gpu::model_shared_traffic([&] { return gpu::diagonal_scan_traffic(sizes_); });
  }

  cpu::ScanSizes sizes_;
};

}  // namespace

DiagonalScan diagonal_scan(const Tensor& a, const Tensor& b, const Tensor& initial) {
  const bool fits = a.rank() == 3 && b.shape() == a.shape() && initial.shape() == a.shape().remove(1) &&
                    b.dtype() == a.dtype() && initial.dtype() == a.dtype();
  if (!fits) {
    throw Error("diagonal_scan of a {}, b {}, initial {}: needs a, b [B,T,C], initial [B,C], in one dtype",
                a.shape().str(), b.shape().str(), initial.shape().str());
  }
  if (a.dim(1) == 0) return {a, initial};
  const Tensor h =
      apply_one(std::make_unique<DiagonalScanOp>(cpu::ScanSizes{a.dim(0), a.dim(1), a.dim(2)}), {a, b, initial});
  return {h, step_of(h, a.dim(1) - 1)};
}

namespace {

OpCase scan_case(std::string name, std::int64_t B, std::int64_t T, std::int64_t C) {
  OpCase result{.name = std::move(name), .inputs = {{.shape = {B, T, C}}, {.shape = {B, T, C}}}, .call = {}};
  result.inputs.push_back({.shape = {B, C}});
  result.call = [](std::span<const Tensor> inputs) {
    const DiagonalScan scan = diagonal_scan(sigmoid(inputs[0]), inputs[1], inputs[2]);
    return Tensors{scan.h, scan.state};
  };
  return result;
}

const OpRegistration registration({.name = "diagonal_scan",
                                   .cases = {scan_case("odd sizes", 2, 5, 7), scan_case("whole vectors", 1, 9, 32),
                                             scan_case("two blocks of channels", 2, 3, 259),
                                             scan_case("one step", 3, 1, 5), scan_case("no sequences", 0, 3, 4),
                                             scan_case("no steps", 2, 0, 4), scan_case("no channels", 2, 3, 0)}});

}  // namespace

}  // namespace zoo::ops
