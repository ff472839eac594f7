#include "zoo/cpu/cross_entropy.h"

#include <numeric>

#include "zoo/core/error.h"
#include "zoo/gpu/cross_entropy.h"
#include "zoo/gpu/totals.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/head.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

// [rows, vocab] with 1 at each row's label.
Tensor one_hot(const Tensor& labels, std::int64_t vocab, DType dtype) {
  Tensor result = Tensor::zeros({labels.size(), vocab}, dtype);
  for (std::int64_t row = 0; row < labels.size(); ++row) {
    const std::int64_t at = row * vocab + labels.data<std::int32_t>()[row];
    if (dtype == DType::f64) {
      result.data<double>()[at] = 1;
    } else {
      result.data<float>()[at] = 1;
    }
  }
  return result;
}

// -sum_r log softmax(logits_r)[label_r]
class CrossEntropy final : public FusedOp {
 public:
  std::string_view name() const override { return "cross_entropy"; }

  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor& logits = inputs[0];
    return {neg(sum(mul(log_softmax(logits), one_hot(inputs[1], logits.dim(1), logits.dtype()))))};
  }

  Tensors forward(std::span<const Tensor> inputs) override {
    Tensor losses = Tensor::empty({inputs[0].dim(0)}, DType::f64);
    dispatch(inputs[0].dtype(), name(), [&](auto at) {
      auto task = rows(at, inputs);
      if constexpr (at.gpu) {
        task.losses = losses.device_data<double>();
        gpu::cross_entropy(task, at.stream());
      } else {
        task.losses = losses.data<double>();
        cpu::cross_entropy(task);
      }
    });
    return {total(losses, inputs[0].dtype())};
  }

  Tensors backward(const Executed& executed) override {
    Tensors grads(2);
    if (!executed.needs(0)) return grads;
    grads[0] = Tensor::empty(executed.inputs[0].shape(), executed.inputs[0].dtype());
    const double factor = executed.output_grad().item();
    dispatch(grads[0].dtype(), name(), [&](auto at) {
      auto task = rows(at, executed.inputs);
      task.gradient = at(grads[0]);
      task.factor = factor;
      if constexpr (at.gpu) {
        gpu::cross_entropy(task, at.stream());
      } else {
        cpu::cross_entropy(task);
      }
    });
    return grads;
  }

 private:
  template <typename At>
  static cpu::CrossEntropyRows<typename At::Real> rows(const At& at, std::span<const Tensor> inputs) {
    return {.logits = at(inputs[0]),
            .labels = at.template of<std::int32_t>(inputs[1]),
            .rows = inputs[0].dim(0),
            .vocab = inputs[0].dim(1)};
  }
};

}  // namespace

Tensor total(const Tensor& losses, DType dtype) {
  return dispatch(dtype, "cross_entropy", [&](auto at) {
    if constexpr (at.gpu) {
      Tensor sum = Tensor::empty({});
      gpu::total(at.template of<double>(losses), losses.size(), at(sum), at.stream());
      return sum;
    } else {
      const auto each = losses.values<double>();
      return Tensor::scalar(std::accumulate(each.begin(), each.end(), 0.0), dtype);
    }
  });
}

void check_labels(const Tensor& labels, std::int64_t rows, std::int64_t vocab) {
  if (labels.dtype() != DType::i32 || labels.shape() != Shape{rows}) {
    throw Error("cross-entropy of {} rows takes labels i32 [{}], it was given {} {}", rows, rows,
                dtype_name(labels.dtype()), labels.shape().str());
  }
  for (const std::int32_t label : labels.values<std::int32_t>()) {
    if (label < 0 || label >= vocab) throw Error("label {} lies outside the vocabulary of {}", label, vocab);
  }
}

Tensor cross_entropy(const Tensor& logits, const Tensor& labels) {
  if (logits.rank() != 2) throw Error("cross-entropy takes logits [R, V], it was given {}", logits.shape().str());
  check_labels(labels, logits.dim(0), logits.dim(1));
  return apply_one(std::make_unique<CrossEntropy>(), {logits, labels});
}

namespace {

OpCase cross_entropy_case(std::string name, std::int64_t rows, std::int64_t vocab) {
  return {.name = std::move(name),
          .inputs = {{.shape = {rows, vocab}}, {.shape = {rows}, .kind = InputSpec::Kind::index, .bound = vocab}},
          .call = [](std::span<const Tensor> inputs) { return Tensors{cross_entropy(inputs[0], inputs[1])}; }};
}

const OpRegistration registration({.name = "cross_entropy",
                                   .cases = {cross_entropy_case("plain", 5, 16), cross_entropy_case("odd sizes", 3, 37),
                                             cross_entropy_case("one class", 4, 1),
                                             cross_entropy_case("no rows", 0, 5)}});

}  // namespace

}  // namespace zoo::ops
