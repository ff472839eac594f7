#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/ops/multiply.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

// y = x W^T + b on x [rows, in], W [out, in], b [out] or absent.
class Linear final : public FusedOp {
 public:
  std::string_view name() const override { return "linear"; }

  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor y = matmul(inputs[0], inputs[1], false, true);
    return {inputs.size() == 3 ? add(y, inputs[2]) : y};
  }

  // The bias is added within the product's last pass.
  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    const Tensor& weight = inputs[1];
    Tensor y = Tensor::empty({x.dim(0), weight.dim(0)}, x.dtype());
    const bool has_bias = inputs.size() == 3;
    const cpu::MatmulShape shape{
        .m = x.dim(0), .n = weight.dim(0), .k = x.dim(1), .transpose_b = true, .bias = has_bias};
    dispatch(x.dtype(), name(),
             [&](auto at) { multiply(at, shape, at(x), at(weight), has_bias ? at(inputs[2]) : nullptr, at(y)); });
    count_flops(2.0 * static_cast<double>(x.size()) * static_cast<double>(weight.dim(0)));
    return {std::move(y)};
  }

  Tensors backward(const Executed& executed) override {
    const Tensor dy = executed.output_grad();
    Tensors grads(executed.inputs.size());
    if (executed.needs(0)) grads[0] = matmul(dy, executed.inputs[1]);
    if (executed.needs(1)) grads[1] = matmul(dy, executed.inputs[0], true, false);
    if (grads.size() == 3 && executed.needs(2)) grads[2] = sum(dy, 0);
    return grads;
  }
};

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (x.rank() < 1 || weight.rank() != 2 || x.dim(-1) != weight.dim(1) ||
      (bias.defined() && bias.shape() != Shape{weight.dim(0)})) {
    throw Error("linear takes x [..., in], weight [out, in] and bias [out]; it was given {}, {} and {}",
                x.shape().str(), weight.shape().str(), bias.defined() ? bias.shape().str() : "no bias");
  }
  const std::int64_t rows = x.shape().remove(-1).size();
  const Tensor matrix = reshape(x, Shape{rows, x.dim(-1)});
  const Tensor y = bias.defined() ? apply_one(std::make_unique<Linear>(), {matrix, weight, bias})
                                  : apply_one(std::make_unique<Linear>(), {matrix, weight});
  return reshape(y, x.shape().with(-1, weight.dim(0)));
}

namespace {

OpCase linear_case(std::string name, const Shape& x, std::int64_t out, bool bias) {
  OpCase result{.name = std::move(name), .inputs = {{.shape = x}, {.shape = {out, x[-1]}}}, .call = {}};
  if (bias) result.inputs.push_back({.shape = {out}});
  result.call = [](std::span<const Tensor> inputs) {
    return Tensors{linear(inputs[0], inputs[1], inputs.size() == 3 ? inputs[2] : Tensor{})};
  };
  return result;
}

const OpRegistration registration(
    {.name = "linear",
     .cases = {linear_case("plain", {5, 7}, 3, false), linear_case("with a bias", {5, 7}, 3, true),
               linear_case("three axes", {2, 3, 4}, 5, true), linear_case("one row", {9}, 4, true),
               linear_case("no rows", {0, 4}, 3, true)}});

}  // namespace

}  // namespace zoo::ops
