#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/ops/multiply.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

// A [..., m, k] times B [..., k, n] with equal leading axes, either stored transposed.
class Matmul final : public Op {
 public:
  Matmul(bool transpose_a, bool transpose_b) : transpose_a_(transpose_a), transpose_b_(transpose_b) {}
  std::string_view name() const override { return "matmul"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& a = inputs[0];
    const Tensor& b = inputs[1];
    const std::int64_t m = a.dim(transpose_a_ ? -1 : -2);
    const std::int64_t k = a.dim(transpose_a_ ? -2 : -1);
    const std::int64_t n = b.dim(transpose_b_ ? -2 : -1);
    Tensor y = Tensor::empty(a.shape().with(-2, m).with(-1, n), a.dtype());
    const std::int64_t batch = a.shape().remove(-1).remove(-1).size();
    const cpu::MatmulShape shape{batch, m, n, k, transpose_a_, transpose_b_};
    dispatch(a.dtype(), name(), [&](auto at) { multiply(at, shape, at(a), at(b), nullptr, at(y)); });
    count_flops(2.0 * static_cast<double>(batch) * static_cast<double>(m) * static_cast<double>(n) *
                static_cast<double>(k));
    return {std::move(y)};
  }

  // Y = A' B', where ' is the transpose that was asked for: dA' = dY B'^T, dB' = A'^T dY.
  Tensors vjp(const Executed& executed) override {
    const Tensor& a = executed.inputs[0];
    const Tensor& b = executed.inputs[1];
    const Tensor dy = executed.output_grad();
    Tensors grads(2);
    if (executed.needs(0))
      grads[0] = transpose_a_ ? matmul(b, dy, transpose_b_, true) : matmul(dy, b, false, !transpose_b_);
    if (executed.needs(1))
      grads[1] = transpose_b_ ? matmul(dy, a, true, transpose_a_) : matmul(a, dy, !transpose_a_, false);
    return grads;
  }

 private:
  bool transpose_a_;
  bool transpose_b_;
};

Tensor batched(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  return apply_one(std::make_unique<Matmul>(transpose_a, transpose_b), {a, b});
}

// The rank-2 operand, repeated over the other's leading axes.
Tensor repeated(const Tensor& matrix, const Shape& like) {
  return broadcast_to(matrix, like.with(-2, matrix.dim(-2)).with(-1, matrix.dim(-1)));
}

void check(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  const auto fail = [&](std::string_view why) {
    throw Error("matmul of {}{} and {}{}: {}", a.shape().str(), transpose_a ? " transposed" : "", b.shape().str(),
                transpose_b ? " transposed" : "", why);
  };
  if (a.rank() < 2 || b.rank() < 2) fail("both need two axes or more");
  if (a.dtype() != b.dtype() || a.dtype() == DType::i32) fail("both need one dtype, f32 or f64");
  if (a.dim(transpose_a ? -2 : -1) != b.dim(transpose_b ? -1 : -2)) fail("the inner extents differ");
  if (a.rank() > 2 && b.rank() > 2 && a.shape().remove(-1).remove(-1) != b.shape().remove(-1).remove(-1)) {
    fail("the leading axes differ");
  }
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  check(a, b, transpose_a, transpose_b);
  if (a.rank() == 2 && b.rank() == 2) return batched(a, b, transpose_a, transpose_b);
  if (b.rank() == 2 && !transpose_a) {
    // One large product instead of many small ones.
    const Tensor y = batched(reshape(a, {a.shape().remove(-1).size(), a.dim(-1)}), b, false, transpose_b);
    return reshape(y, a.shape().with(-1, y.dim(-1)));
  }
  if (b.rank() == 2) return batched(a, repeated(b, a.shape()), transpose_a, transpose_b);
  if (a.rank() == 2) return batched(repeated(a, b.shape()), b, transpose_a, transpose_b);
  return batched(a, b, transpose_a, transpose_b);
}

namespace {

OpCase matmul_case(std::string name, const Shape& a, const Shape& b, bool transpose_a, bool transpose_b) {
  return {.name = std::move(name), .inputs = {{.shape = a}, {.shape = b}}, .call = [=](std::span<const Tensor> inputs) {
            return Tensors{matmul(inputs[0], inputs[1], transpose_a, transpose_b)};
          }};
}

const OpRegistration registration({.name = "matmul",
                                   .cases = {matmul_case("plain", {5, 7}, {7, 3}, false, false),
                                             matmul_case("a transposed", {7, 5}, {7, 3}, true, false),
                                             matmul_case("b transposed", {5, 7}, {3, 7}, false, true),
                                             matmul_case("both transposed", {7, 5}, {3, 7}, true, true),
                                             matmul_case("batched", {2, 3, 4, 5}, {2, 3, 5, 6}, false, false),
                                             matmul_case("batched, transposed", {3, 5, 4}, {3, 6, 5}, true, true),
                                             matmul_case("one b for all", {2, 3, 5}, {5, 4}, false, false),
                                             matmul_case("one b for all, a transposed", {2, 5, 3}, {5, 4}, true, false),
                                             matmul_case("one a for all", {3, 5}, {2, 5, 4}, false, false),
                                             matmul_case("tile edges", {33, 65}, {65, 17}, false, false),
                                             matmul_case("no rows", {0, 4}, {4, 3}, false, false),
                                             matmul_case("nothing to sum", {2, 0}, {0, 3}, false, false)}});

}  // namespace

}  // namespace zoo::ops
