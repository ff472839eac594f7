#include "zoo/cpu/shape.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "zoo/core/error.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

void check_defined(const Tensor& x, std::string_view op) {
  if (!x.defined()) throw Error("{} was given an undefined tensor", op);
}

// A tensor seen along one axis: `outer` blocks of `extent` runs of `run` bytes.
struct AxisView {
  std::int64_t outer = 1;
  std::size_t run;

  AxisView(const Shape& shape, int axis, DType dtype) : run(dtype_size(dtype)) {
    for (int i = 0; i < axis; ++i) outer *= shape[i];
    for (int i = axis + 1; i < shape.rank(); ++i) run *= static_cast<std::size_t>(shape[i]);
  }
};

std::byte* at(const Tensor& x, std::size_t bytes) {
  return static_cast<std::byte*>(x.raw()) + bytes;
}

// Copies elements [from_begin, from_begin + count) along an axis of `from` to those from to_begin of `to`.
void copy_along(const Tensor& from, std::int64_t from_begin, const Tensor& to, std::int64_t to_begin,
                std::int64_t count, int axis) {
  const AxisView view(from.shape(), axis, from.dtype());
  const auto bytes = [&](std::int64_t runs) { return static_cast<std::size_t>(runs) * view.run; };
  cpu::copy_runs(at(from, bytes(from_begin)), bytes(from.dim(axis)), at(to, bytes(to_begin)), bytes(to.dim(axis)),
                 bytes(count), view.outer);
}

template <typename T>
Tensor strided_copy_of(const Tensor& x, const Shape& shape, const cpu::Strides& strides) {
  Tensor result = Tensor::empty(shape, x.dtype());
  cpu::copy_strided(shape, x.data<T>(), strides, result.data<T>());
  return result;
}

Tensor strided_copy(const Tensor& x, const Shape& shape, const cpu::Strides& strides) {
  switch (x.dtype()) {
    case DType::f32:
      return strided_copy_of<float>(x, shape, strides);
    case DType::f64:
      return strided_copy_of<double>(x, shape, strides);
    case DType::i32:
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

 private:
  Shape shape_;
};

class Slice final : public Op {
 public:
  Slice(int axis, std::int64_t begin, std::int64_t end) : axis_(axis), begin_(begin), end_(end) {}
  std::string_view name() const override { return "slice"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    if (axis_ == 0) return {x.rows(begin_, end_ - begin_)};  // shares x's memory
    const Tensor result = Tensor::empty(x.shape().with(axis_, end_ - begin_), x.dtype());
    copy_along(x, begin_, result, 0, end_ - begin_, axis_);
    return {result};
  }

  Tensors vjp(const Executed& executed) override {
    return {pad(executed.output_grad(), axis_, begin_, executed.inputs[0].dim(axis_) - end_)};
  }

 private:
  int axis_;
  std::int64_t begin_;
  std::int64_t end_;
};

class Pad final : public Op {
 public:
  Pad(int axis, std::int64_t before, std::int64_t after) : axis_(axis), before_(before), after_(after) {}
  std::string_view name() const override { return "pad"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    const Tensor result = Tensor::zeros(x.shape().with(axis_, before_ + x.dim(axis_) + after_), x.dtype());
    copy_along(x, 0, result, before_, x.dim(axis_), axis_);
    return {result};
  }

  Tensors vjp(const Executed& executed) override {
    return {slice(executed.output_grad(), axis_, before_, before_ + executed.inputs[0].dim(axis_))};
  }

 private:
  int axis_;
  std::int64_t before_;
  std::int64_t after_;
};

class Concat final : public Op {
 public:
  explicit Concat(int axis) : axis_(axis) {}
  std::string_view name() const override { return "concat"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    std::int64_t extent = 0;
    for (const Tensor& part : inputs) extent += part.dim(axis_);
    const Tensor result = Tensor::empty(inputs[0].shape().with(axis_, extent), inputs[0].dtype());
    std::int64_t done = 0;
    for (const Tensor& part : inputs) {
      copy_along(part, 0, result, done, part.dim(axis_), axis_);
      done += part.dim(axis_);
    }
    return {result};
  }

  Tensors vjp(const Executed& executed) override {
    Tensors grads(executed.inputs.size());
    const Tensor grad = executed.output_grad();
    std::int64_t done = 0;
    for (std::size_t i = 0; i < grads.size(); ++i) {
      const std::int64_t extent = executed.inputs[i].dim(axis_);
      if (executed.needs(i)) grads[i] = slice(grad, axis_, done, done + extent);
      done += extent;
    }
    return grads;
  }

 private:
  int axis_;
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

Tensor slice(const Tensor& x, int axis, std::int64_t begin, std::int64_t end) {
  check_defined(x, "slice");
  axis = x.shape().normalize(axis);
  if (begin < 0 || end < begin || end > x.dim(axis)) {
    throw Error("slice [{}, {}) of axis {} of a tensor of shape {}", begin, end, axis, x.shape().str());
  }
  if (begin == 0 && end == x.dim(axis)) return x;
  return apply_one(std::make_unique<Slice>(axis, begin, end), {x});
}

Tensor pad(const Tensor& x, int axis, std::int64_t before, std::int64_t after) {
  check_defined(x, "pad");
  axis = x.shape().normalize(axis);
  if (before < 0 || after < 0) throw Error("pad by {} before and {} after; neither can be negative", before, after);
  if (before == 0 && after == 0) return x;
  return apply_one(std::make_unique<Pad>(axis, before, after), {x});
}

Tensor concat(std::span<const Tensor> parts, int axis) {
  if (parts.empty()) throw Error("concat was given no tensor");
  for (const Tensor& part : parts) check_defined(part, "concat");
  const Tensor& first = parts[0];
  axis = first.shape().normalize(axis);
  for (const Tensor& part : parts) {
    if (part.dtype() != first.dtype() || part.rank() != first.rank() ||
        part.shape().with(axis, 0) != first.shape().with(axis, 0)) {
      throw Error("concat along axis {} of {} {} and {} {}: all else must be equal", axis, dtype_name(first.dtype()),
                  first.shape().str(), dtype_name(part.dtype()), part.shape().str());
    }
  }
  if (parts.size() == 1) return first;
  return apply(std::make_unique<Concat>(axis), parts)[0];
}

Tensor concat(std::initializer_list<Tensor> parts, int axis) {
  return concat(std::span<const Tensor>(parts.begin(), parts.size()), axis);
}

namespace {

OpCase shape_case(std::string name, Shape shape, std::function<Tensor(const Tensor&)> call) {
  return {.name = std::move(name), .inputs = {{.shape = shape}}, .call = [call](std::span<const Tensor> inputs) {
            return Tensors{call(inputs[0])};
          }};
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

const OpRegistration slice_registration(
    {.name = "slice",
     .cases = {shape_case("first axis", {6, 3}, [](const Tensor& x) { return slice(x, 0, 2, 5); }),
               shape_case("last axis", {3, 7}, [](const Tensor& x) { return slice(x, -1, 1, 4); }),
               shape_case("middle axis", {2, 5, 3}, [](const Tensor& x) { return slice(x, 1, 0, 4); }),
               shape_case("nothing", {3, 4}, [](const Tensor& x) { return slice(x, 1, 2, 2); })}});

const OpRegistration pad_registration(
    {.name = "pad",
     .cases = {shape_case("first axis", {3, 4}, [](const Tensor& x) { return pad(x, 0, 2, 1); }),
               shape_case("last axis", {3, 4}, [](const Tensor& x) { return pad(x, -1, 0, 3); }),
               shape_case("empty", {2, 0, 3}, [](const Tensor& x) { return pad(x, 1, 1, 1); })}});

OpCase concat_case(std::string name, std::vector<Shape> shapes, int axis) {
  OpCase result{.name = std::move(name), .inputs = {}, .call = [axis](std::span<const Tensor> inputs) {
                  return Tensors{concat(inputs, axis)};
                }};
  for (const Shape& shape : shapes) result.inputs.push_back({.shape = shape});
  return result;
}

const OpRegistration concat_registration({.name = "concat",
                                          .cases = {concat_case("first axis", {{2, 3}, {1, 3}}, 0),
                                                    concat_case("last axis", {{2, 3}, {2, 5}, {2, 1}}, -1),
                                                    concat_case("middle axis", {{2, 3, 2}, {2, 1, 2}}, 1),
                                                    concat_case("with an empty part", {{2, 0}, {2, 3}}, 1)}});

}  // namespace

}  // namespace zoo::ops
