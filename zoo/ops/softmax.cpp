#include "zoo/cpu/softmax.h"

#include "zoo/gpu/softmax.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

// x without the largest value of each row, a constant that the result does not depend on.
Tensor shifted(const Tensor& x) {
  if (x.size() == 0) return x;
  return sub(x, max(x.detach(), -1, true));
}

std::int64_t rows_of(const Tensor& x) {
  return x.size() == 0 ? 0 : x.size() / x.dim(-1);
}

// softmax over the last axis, or its logarithm: the same op with other arithmetic inside.
template <bool logarithm>
class Softmax final : public FusedOp {
 public:
  std::string_view name() const override { return logarithm ? "log_softmax" : "softmax"; }

  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor x = shifted(inputs[0]);
    const Tensor exponentials = exp(x);
    const Tensor total = sum(exponentials, -1, true);
    return {logarithm ? x - log(total) : exponentials / total};
  }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    Tensor y = Tensor::empty(x.shape(), x.dtype());
    dispatch(x.dtype(), name(), [&](auto at) {
      const std::int64_t rows = rows_of(x), count = x.dim(-1);
      if constexpr (at.gpu) {
        (logarithm ? gpu::log_softmax : gpu::softmax)(at(x), rows, count, at(y), at.stream());
      } else {
        using T = typename decltype(at)::Real;
        (logarithm ? cpu::log_softmax<T> : cpu::softmax<T>)(at(x), rows, count, at(y));
      }
    });
    return {y};
  }

  Tensors backward(const Executed& executed) override {
    const Tensor& y = executed.outputs[0];
    const Tensor grad = executed.output_grad();
    Tensor result = Tensor::empty(y.shape(), y.dtype());
    dispatch(y.dtype(), name(), [&](auto at) {
      const std::int64_t rows = rows_of(y), count = y.dim(-1);
      if constexpr (at.gpu) {
        (logarithm ? gpu::log_softmax_backward : gpu::softmax_backward)(at(y), at(grad), rows, count, at(result),
                                                                        at.stream());
      } else {
        using T = typename decltype(at)::Real;
        (logarithm ? cpu::log_softmax_backward<T> : cpu::softmax_backward<T>)(at(y), at(grad), rows, count, at(result));
      }
    });
    return {result};
  }

  Keep keeps_output(std::size_t) const override { return Keep::activation; }
};

void check_softmax(const Tensor& x, std::string_view op) {
  check_real(x, op);
  if (x.rank() == 0) throw Error("{} runs over the last axis, it was given a scalar", op);
}

}  // namespace

Tensor softmax(const Tensor& x) {
  check_softmax(x, "softmax");
  return apply_one(std::make_unique<Softmax<false>>(), {x});
}

Tensor log_softmax(const Tensor& x) {
  check_softmax(x, "log_softmax");
  return apply_one(std::make_unique<Softmax<true>>(), {x});
}

namespace {

OpEntry softmax_entry(std::string name, Tensor (*call)(const Tensor&)) {
  OpEntry entry{.name = std::move(name), .cases = {}};
  for (const auto& [what, shape] :
       {std::pair{"plain", Shape{4, 16}}, std::pair{"odd sizes", Shape{2, 3, 37}}, std::pair{"one class", Shape{3, 1}},
        std::pair{"vector", Shape{5}}, std::pair{"no rows", Shape{0, 4}}, std::pair{"no classes", Shape{3, 0}}}) {
    entry.cases.push_back({.name = what, .inputs = {{.shape = shape}}, .call = [call](std::span<const Tensor> inputs) {
                             return Tensors{call(inputs[0])};
                           }});
  }
  return entry;
}

const OpRegistration softmax_registration(softmax_entry("softmax", softmax));
const OpRegistration log_softmax_registration(softmax_entry("log_softmax", log_softmax));

}  // namespace

}  // namespace zoo::ops
