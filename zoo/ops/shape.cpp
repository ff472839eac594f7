#include "zoo/cpu/shape.h"

#include <fmt/ranges.h>

#include <array>
#include <utility>

#include "zoo/core/error.h"
#include "zoo/gpu/shape.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

template <typename T>
Tensor strided_copy_of(const Tensor& x, const Shape& shape, const cpu::Strides& strides) {
  Tensor result = Tensor::empty(shape, x.dtype());
  cpu::copy_strided(shape, x.data<T>(), strides, result.data<T>());
  return result;
}

// Elements of four bytes, whatever they are.
Tensor strided_copy_on_gpu(const Tensor& x, const Shape& shape, const cpu::Strides& strides) {
  Tensor result = Tensor::empty(shape, x.dtype());
  const cpu::StridedLoops<1> loops(shape, {strides});
  gpu::copy_strided(shape.size(), loops, words_of(x), words_of(result), gpu::engine_stream());
  return result;
}

Tensor strided_copy(const Tensor& x, const Shape& shape, const cpu::Strides& strides) {
  if constexpr (gpu_built) {
    if (on_gpu() && x.dtype() != DType::f64) return strided_copy_on_gpu(x, shape, strides);
  }
  switch (x.dtype()) {
    case DType::f32:
      return strided_copy_of<float>(x, shape, strides);
    case DType::f64:
      return strided_copy_of<double>(x, shape, strides);
    case DType::i32:
    case DType::bf16:  // which no op is given; reading it as whole numbers says so
      break;
  }
  return strided_copy_of<std::int32_t>(x, shape, strides);
}

class Reshape final : public Op {
 public:
  explicit Reshape(const Shape& shape) : shape_(shape) {}
  std::string_view name() const override { return "reshape"; }
  Tensors forward(std::span<const Tensor> inputs) override { return {inputs[0].view(shape_)}; }
  Tensors vjp(const Executed& executed) override {
    return {reshape(executed.output_grad(), executed.inputs[0].shape())};
  }
  Keep keeps_input(std::size_t) const override { return Keep::shape; }

 private:
  Shape shape_;
};

using Order = std::array<int, Shape::max_rank>;

class Permute final : public Op {
 public:
  explicit Permute(const Order& order) : order_(order) {}
  std::string_view name() const override { return "permute"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    const cpu::Strides strides = cpu::contiguous_strides(x.shape());
    Shape shape = x.shape();
    cpu::Strides permuted{};
    for (int axis = 0; axis < x.rank(); ++axis) {
      const auto i = static_cast<std::size_t>(axis);
      shape = shape.with(axis, x.dim(order_[i]));
      permuted[i] = strides[static_cast<std::size_t>(order_[i])];
    }
    return {strided_copy(x, shape, permuted)};
  }

  Tensors vjp(const Executed& executed) override {
    Order inverse{};
    const auto rank = static_cast<std::size_t>(executed.inputs[0].rank());
    for (std::size_t i = 0; i < rank; ++i) inverse[static_cast<std::size_t>(order_[i])] = static_cast<int>(i);
    return {permute(executed.output_grad(), std::span<const int>(inverse.data(), rank))};
  }
  Keep keeps_input(std::size_t) const override { return Keep::shape; }

 private:
  Order order_;
};

class BroadcastTo final : public Op {
 public:
  explicit BroadcastTo(const Shape& shape) : shape_(shape) {}
  std::string_view name() const override { return "broadcast_to"; }
  Tensors forward(std::span<const Tensor> inputs) override {
    return {strided_copy(inputs[0], shape_, cpu::broadcast_strides(inputs[0].shape(), shape_))};
  }
  Tensors vjp(const Executed& executed) override {
    return {sum_to(executed.output_grad(), executed.inputs[0].shape())};
  }
  Keep keeps_input(std::size_t) const override { return Keep::shape; }

 private:
  Shape shape_;
};

}  // namespace

Tensor reshape(const Tensor& x, std::initializer_list<std::int64_t> dims) {
  check_defined(x, "reshape");
  std::array<std::int64_t, Shape::max_rank> known{};
  std::int64_t product = 1;
  std::size_t rank = 0;
  std::size_t unknown = dims.size();
  if (dims.size() > known.size()) throw Error("a shape has at most {} axes, {} were given", known.size(), dims.size());
  for (const std::int64_t extent : dims) {
    if (extent == -1 && unknown == dims.size()) {
      unknown = rank;
    } else {
      product *= extent;
    }
    known[rank++] = extent;
  }
  if (unknown < dims.size()) {
    if (product <= 0 || x.size() % product != 0) {
      throw Error("a tensor of shape {} cannot be reshaped to [{}]", x.shape().str(), fmt::join(dims, ", "));
    }
    known[unknown] = x.size() / product;
  }
  return reshape(x, Shape(std::span<const std::int64_t>(known.data(), rank)));
}

Tensor reshape(const Tensor& x, const Shape& shape) {
  check_defined(x, "reshape");
  if (shape.size() != x.size()) {
    throw Error("a tensor of shape {} cannot be reshaped to {}", x.shape().str(), shape.str());
  }
  if (shape == x.shape()) return x;
  return apply_one(std::make_unique<Reshape>(shape), {x});
}

Tensor permute(const Tensor& x, std::span<const int> order) {
  check_defined(x, "permute");
  const auto wrong = [&] {
    return Error("permute takes each axis of {} once, it was given [{}]", x.shape().str(), fmt::join(order, ", "));
  };
  if (static_cast<int>(order.size()) != x.rank()) throw wrong();
  Order axes{};
  std::array<bool, Shape::max_rank> seen{};
  bool changes = false;
  for (std::size_t i = 0; i < order.size(); ++i) {
    axes[i] = x.shape().normalize(order[i]);
    if (std::exchange(seen[static_cast<std::size_t>(axes[i])], true)) throw wrong();
    changes = changes || axes[i] != static_cast<int>(i);
  }
  if (!changes) return x;
  return apply_one(std::make_unique<Permute>(axes), {x});
}

Tensor permute(const Tensor& x, std::initializer_list<int> order) {
  return permute(x, std::span<const int>(order.begin(), order.size()));
}

Tensor transpose(const Tensor& x, int axis_a, int axis_b) {
  check_defined(x, "transpose");
  Order order{};
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  std::swap(order[static_cast<std::size_t>(x.shape().normalize(axis_a))],
            order[static_cast<std::size_t>(x.shape().normalize(axis_b))]);
  return permute(x, std::span<const int>(order.data(), static_cast<std::size_t>(x.rank())));
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  check_defined(x, "broadcast_to");
  if (shape == x.shape()) return x;
  if (x.rank() > shape.rank() || broadcast(x.shape(), shape) != shape) {
    throw Error("a tensor of shape {} does not broadcast to {}", x.shape().str(), shape.str());
  }
  return apply_one(std::make_unique<BroadcastTo>(shape), {x});
}

namespace {

OpCase shape_case(std::string name, Shape shape, std::function<Tensor(const Tensor&)> call) {
  return {.name = std::move(name),
          .inputs = {{.shape = shape}},
          .call = [call = std::move(call)](std::span<const Tensor> inputs) { return Tensors{call(inputs[0])}; }};
}

const OpRegistration reshape_registration({.name = "reshape",
                                           .cases = {shape_case("plain", {4, 6},
                                                                [](const Tensor& x) {
                                                                  return reshape(x, {3, -1});
                                                                }),
                                                     shape_case("from a scalar", {},
                                                                [](const Tensor& x) {
                                                                  return reshape(x, {1, 1});
                                                                }),
                                                     shape_case("empty", {0, 3}, [](const Tensor& x) {
                                                       return reshape(x, Shape{2, 0});
                                                     })}});

const OpRegistration permute_registration({.name = "permute",
                                           .cases = {shape_case("heads", {2, 5, 3, 4},
                                                                [](const Tensor& x) {
                                                                  return permute(x, {0, 2, 1, 3});
                                                                }),
                                                     shape_case("innermost first", {5, 3, 7},
                                                                [](const Tensor& x) {
                                                                  return permute(x, {2, 0, 1});
                                                                }),
                                                     shape_case("more than a tile", {37, 2, 45},
                                                                [](const Tensor& x) {
                                                                  return permute(x, {2, 1, 0});
                                                                }),
                                                     shape_case("all axes", {2, 3, 2, 2, 3, 2},
                                                                [](const Tensor& x) {
                                                                  return permute(x, {5, 3, 1, 0, 4, 2});
                                                                }),
                                                     shape_case("empty", {2, 0, 3}, [](const Tensor& x) {
                                                       return permute(x, {2, 1, 0});
                                                     })}});

const OpRegistration transpose_registration(
    {.name = "transpose",
     .cases = {shape_case("plain", {33, 34}, [](const Tensor& x) { return transpose(x); }),
               shape_case("middle", {2, 3, 4, 5}, [](const Tensor& x) { return transpose(x, 1, -2); })}});

const OpRegistration broadcast_to_registration({.name = "broadcast_to",
                                                .cases = {shape_case("row", {5},
                                                                     [](const Tensor& x) {
                                                                       return broadcast_to(x, {3, 5});
                                                                     }),
                                                          shape_case("column", {4, 1},
                                                                     [](const Tensor& x) {
                                                                       return broadcast_to(x, {2, 4, 3});
                                                                     }),
                                                          shape_case("scalar", {},
                                                                     [](const Tensor& x) {
                                                                       return broadcast_to(x, {3, 2});
                                                                     }),
                                                          shape_case("to empty", {1, 3}, [](const Tensor& x) {
                                                            return broadcast_to(x, {0, 3});
                                                          })}});

}  // namespace

}  // namespace zoo::ops
