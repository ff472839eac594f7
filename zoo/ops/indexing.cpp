#include "zoo/cpu/indexing.h"

#include <algorithm>

#include "zoo/gpu/indexing.h"
#include "zoo/ops/dispatch.h"
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

// The ops without a look at the indices, which were checked when they came in.
Tensor gathered(const Tensor& x, const Tensor& indices);
Tensor scattered(const Tensor& x, const Tensor& indices, const Shape& shape);

class GatherRows final : public Op {
 public:
  explicit GatherRows(const Shape& shape) : shape_(shape) {}
  std::string_view name() const override { return "gather_rows"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    Tensor result = Tensor::empty(shape_, x.dtype());
    const std::int64_t rows = x.dim(0);
    if constexpr (gpu_built) {
      if (on_gpu() && x.dtype() != DType::f64) {
        gpu::gather_rows(words_of(x), rows == 0 ? 0 : x.size() / rows, inputs[1].device_data<std::int32_t>(),
                         inputs[1].size(), words_of(result), gpu::engine_stream());
        return {result};
      }
    }
    const std::size_t bytes = rows == 0 ? 0 : x.bytes() / static_cast<std::size_t>(rows);
    cpu::gather_rows(x.raw(), bytes, inputs[1].values<std::int32_t>(), result.raw());
    return {result};
  }

  Tensors vjp(const Executed& executed) override {
    return {scattered(executed.output_grad(), executed.inputs[1], executed.inputs[0].shape()), Tensor{}};
  }
  // The indices.
  Keep keeps_input(std::size_t index) const override { return index == 1 ? Keep::exact : Keep::shape; }

 private:
  Shape shape_;
};

// For each of `rows` results which of the terms go there, in their order: terms order[starts[r]] .. order[starts[r+1]
// - 1] are those of result r.
struct RowLists {
  Tensor starts;
  Tensor order;

  RowLists(std::span<const std::int32_t> indices, std::int64_t rows) {
    PoolVector<std::int32_t> ends(static_cast<std::size_t>(rows + 1), 0);
    PoolVector<std::int32_t> terms(indices.size());
    for (const std::int32_t row : indices) ++ends[static_cast<std::size_t>(row) + 1];
    for (std::size_t row = 1; row < ends.size(); ++row) ends[row] += ends[row - 1];
    // Each list's place is filled from behind: its end becomes its beginning, which is the end of the one before.
    for (std::size_t i = indices.size(); i-- > 0;) {
      terms[--ends[static_cast<std::size_t>(indices[i]) + 1]] = static_cast<std::int32_t>(i);
    }
    std::shift_left(ends.begin(), ends.end(), 1);
    ends.back() = static_cast<std::int32_t>(indices.size());
    starts = Tensor::from<std::int32_t>({rows + 1}, ends);
    order = Tensor::from<std::int32_t>({static_cast<std::int64_t>(terms.size())}, terms);
  }
};

class ScatterAddRows final : public Op {
 public:
  explicit ScatterAddRows(const Shape& shape) : shape_(shape) {}
  std::string_view name() const override { return "scatter_add_rows"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    const std::int64_t row_size = inputs[1].size() == 0 ? 0 : x.size() / inputs[1].size();
    return dispatch(x.dtype(), name(), [&](auto at) -> Tensors {
      const auto indices = inputs[1].values<std::int32_t>();
      Tensor result = Tensor::zeros(shape_, x.dtype());
      if constexpr (at.gpu) {
        const RowLists lists(indices, shape_[0]);
        gpu::sum_listed_rows(at(x), row_size, at.template of<std::int32_t>(lists.starts),
                             at.template of<std::int32_t>(lists.order), at(result), shape_[0], at.stream());
      } else {
        cpu::scatter_add_rows(at(x), row_size, indices, at(result), shape_[0]);
      }
      return {result};
    });
  }

  Tensors vjp(const Executed& executed) override {
    return {gathered(executed.output_grad(), executed.inputs[1]), Tensor{}};
  }
  // The indices.
  Keep keeps_input(std::size_t index) const override { return index == 1 ? Keep::exact : Keep::shape; }

 private:
  Shape shape_;
};

Tensor gathered(const Tensor& x, const Tensor& indices) {
  return apply_one(std::make_unique<GatherRows>(indexed_shape(indices.shape(), x.shape())), {x, indices});
}

Tensor scattered(const Tensor& x, const Tensor& indices, const Shape& shape) {
  return apply_one(std::make_unique<ScatterAddRows>(shape), {x, indices});
}

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
  return gathered(x, indices);
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
  return scattered(x, indices, shape);
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
