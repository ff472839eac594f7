#include "zoo/cpu/indexing.h"

#include "zoo/ops/dtypes.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

Shape append(const Shape& shape, std::int64_t extent) {
  return shape.insert(shape.rank(), extent);
}

// The shape of rows of x, one for each index.
Shape indexed_shape(const Shape& indices, const Shape& x) {
  Shape shape = indices;
  for (int axis = 1; axis < x.rank(); ++axis) shape = append(shape, x[axis]);
  return shape;
}

class GatherRows final : public Op {
 public:
  explicit GatherRows(const Shape& shape) : shape_(shape) {}
  std::string_view name() const override { return "gather_rows"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    const Tensor result = Tensor::empty(shape_, x.dtype());
    const std::int64_t rows = x.dim(0);
    const std::size_t bytes = rows == 0 ? 0 : x.bytes() / static_cast<std::size_t>(rows);
    cpu::gather_rows(x.raw(), bytes, inputs[1].values<std::int32_t>(), result.raw());
    return {result};
  }

  Tensors vjp(const Executed& executed) override {
    return {scatter_add_rows(executed.output_grad(), executed.inputs[1], executed.inputs[0].dim(0)), Tensor{}};
  }

 private:
  Shape shape_;
};

class ScatterAddRows final : public Op {
 public:
  explicit ScatterAddRows(const Shape& shape) : shape_(shape) {}
  std::string_view name() const override { return "scatter_add_rows"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    Tensor result = Tensor::zeros(shape_, x.dtype());
    const std::int64_t row_size = inputs[1].size() == 0 ? 0 : x.size() / inputs[1].size();
    with_real_type(x.dtype(), name(), [&]<typename T>(T) {
      cpu::scatter_add_rows(x.data<T>(), row_size, inputs[1].values<std::int32_t>(), result.data<T>(), shape_[0]);
    });
    return {result};
  }

  Tensors vjp(const Executed& executed) override {
    return {gather_rows(executed.output_grad(), executed.inputs[1]), Tensor{}};
  }

 private:
  Shape shape_;
};

void check_indices(const Tensor& indices, std::int64_t rows, std::string_view op) {
  check_defined(indices, op);
  if (indices.dtype() != DType::i32) {
    throw Error("{} takes indices of i32, it was given {}", op, dtype_name(indices.dtype()));
  }
  for (const std::int32_t index : indices.values<std::int32_t>()) {
    if (index < 0 || index >= rows) throw Error("{}: index {} of {} rows", op, index, rows);
  }
}

}  // namespace

Tensor gather_rows(const Tensor& x, const Tensor& indices) {
  check_defined(x, "gather_rows");
  if (x.rank() == 0) throw Error("gather_rows takes rows along the first axis, it was given a scalar");
  check_indices(indices, x.dim(0), "gather_rows");
  return apply_one(std::make_unique<GatherRows>(indexed_shape(indices.shape(), x.shape())), {x, indices});
}

Tensor scatter_add_rows(const Tensor& x, const Tensor& indices, std::int64_t n) {
  check_real(x, "scatter_add_rows");
  check_indices(indices, n, "scatter_add_rows");
  const int leading = indices.rank();
  Shape shape{n};
  for (int axis = leading; axis < x.rank(); ++axis) shape = append(shape, x.dim(axis));
  if (x.rank() < leading || indexed_shape(indices.shape(), shape) != x.shape()) {
    throw Error("scatter_add_rows takes a row for each index: indices {} do not lead x {}", indices.shape().str(),
                x.shape().str());
  }
  return apply_one(std::make_unique<ScatterAddRows>(shape), {x, indices});
}

namespace {

OpCase gather_case(std::string name, Shape x, Shape indices) {
  return {.name = std::move(name),
          .inputs = {{.shape = x}, {.shape = indices, .kind = InputSpec::Kind::index, .bound = x[0]}},
          .call = [](std::span<const Tensor> inputs) { return Tensors{gather_rows(inputs[0], inputs[1])}; }};
}

OpCase scatter_case(std::string name, Shape x, Shape indices, std::int64_t n) {
  return {.name = std::move(name),
          .inputs = {{.shape = x}, {.shape = indices, .kind = InputSpec::Kind::index, .bound = n}},
          .call = [n](std::span<const Tensor> inputs) { return Tensors{scatter_add_rows(inputs[0], inputs[1], n)}; }};
}

const OpRegistration gather_registration(
    {.name = "gather_rows",
     .cases = {gather_case("plain", {5, 7}, {9}), gather_case("batch of indices", {4, 3}, {2, 5}),
               gather_case("scalars", {6}, {4}), gather_case("blocks", {3, 2, 2}, {4}),
               gather_case("no index", {3, 2}, {0})}});
// More rows than indices, and fewer, so that some come twice.
const OpRegistration scatter_registration(
    {.name = "scatter_add_rows",
     .cases = {scatter_case("plain", {4, 3}, {4}, 9), scatter_case("repeated", {8, 5}, {8}, 3),
               scatter_case("batch of indices", {2, 3, 4}, {2, 3}, 5), scatter_case("no index", {0, 3}, {0}, 4)}});

}  // namespace

}  // namespace zoo::ops
