#include "zoo/core/error.h"
#include "zoo/cpu/shape.h"
#include "zoo/gpu/shape.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

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
void copy_along(const Tensor& from, std::int64_t from_begin, Tensor& to, std::int64_t to_begin, std::int64_t count,
                int axis) {
  const AxisView view(from.shape(), axis, from.dtype());
  if constexpr (gpu_built) {
    if (on_gpu() && from.dtype() != DType::f64) {
      const auto words = [&](std::int64_t runs) { return runs * static_cast<std::int64_t>(view.run / 4); };
      gpu::copy_runs(words_of(from) + words(from_begin), words(from.dim(axis)), words_of(to) + words(to_begin),
                     words(to.dim(axis)), words(count), view.outer, gpu::engine_stream());
      return;
    }
  }
  const auto bytes = [&](std::int64_t runs) { return static_cast<std::size_t>(runs) * view.run; };
  cpu::copy_runs(at(from, bytes(from_begin)), bytes(from.dim(axis)), at(to, bytes(to_begin)), bytes(to.dim(axis)),
                 bytes(count), view.outer);
}

class Slice final : public Op {
 public:
  Slice(int axis, std::int64_t begin, std::int64_t end) : axis_(axis), begin_(begin), end_(end) {}
  std::string_view name() const override { return "slice"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    if (axis_ == 0) return {x.rows(begin_, end_ - begin_)};  // shares x's memory
    Tensor result = Tensor::empty(x.shape().with(axis_, end_ - begin_), x.dtype());
    copy_along(x, begin_, result, 0, end_ - begin_, axis_);
    return {result};
  }

  Tensors vjp(const Executed& executed) override {
    return {pad(executed.output_grad(), axis_, begin_, executed.inputs[0].dim(axis_) - end_)};
  }
  Keep keeps_input(std::size_t) const override { return Keep::shape; }

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
    Tensor result = Tensor::zeros(x.shape().with(axis_, before_ + x.dim(axis_) + after_), x.dtype());
    copy_along(x, 0, result, before_, x.dim(axis_), axis_);
    return {result};
  }

  Tensors vjp(const Executed& executed) override {
    return {slice(executed.output_grad(), axis_, before_, before_ + executed.inputs[0].dim(axis_))};
  }
  Keep keeps_input(std::size_t) const override { return Keep::shape; }

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
    Tensor result = Tensor::empty(inputs[0].shape().with(axis_, extent), inputs[0].dtype());
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
  Keep keeps_input(std::size_t) const override { return Keep::shape; }

 private:
  int axis_;
};

class Split final : public Op {
 public:
  Split(int axis, std::span<const std::int64_t> extents) : axis_(axis), extents_(extents.begin(), extents.end()) {}
  std::string_view name() const override { return "split"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    Tensors parts;
    std::int64_t done = 0;
    for (const std::int64_t extent : extents_) {
      if (axis_ == 0) {
        parts.push_back(x.rows(done, extent));  // shares x's memory
      } else {
        parts.push_back(Tensor::empty(x.shape().with(axis_, extent), x.dtype()));
        copy_along(x, done, parts.back(), 0, extent, axis_);
      }
      done += extent;
    }
    return parts;
  }

  Tensors vjp(const Executed& executed) override {
    Tensors grads;
    for (std::size_t i = 0; i < extents_.size(); ++i) grads.push_back(executed.output_grad(i));
    return {concat(grads, axis_)};
  }
  Keep keeps_input(std::size_t) const override { return Keep::shape; }

 private:
  int axis_;
  PoolVector<std::int64_t> extents_;
};

}  // namespace

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
  return zoo::apply(std::make_unique<Concat>(axis), parts)[0];
}

Tensor concat(std::initializer_list<Tensor> parts, int axis) {
  return concat(std::span<const Tensor>(parts.begin(), parts.size()), axis);
}

Tensors split(const Tensor& x, int axis, std::initializer_list<std::int64_t> extents) {
  check_defined(x, "split");
  axis = x.shape().normalize(axis);
  std::int64_t total = 0;
  for (const std::int64_t extent : extents) {
    if (extent < 0) throw Error("split into a part of extent {}", extent);
    total += extent;
  }
  if (total != x.dim(axis)) {
    throw Error("split of axis {} of a tensor of shape {} into parts of {} together", axis, x.shape().str(), total);
  }
  if (extents.size() == 1) return {x};
  return zoo::apply(std::make_unique<Split>(axis, std::span(extents.begin(), extents.size())), {&x, 1});
}

namespace {

OpCase slice_case(std::string name, Shape shape, std::function<Tensor(const Tensor&)> call) {
  return {.name = std::move(name), .inputs = {{.shape = shape}}, .call = [call](std::span<const Tensor> inputs) {
            return Tensors{call(inputs[0])};
          }};
}

const OpRegistration slice_registration(
    {.name = "slice",
     .cases = {slice_case("first axis", {6, 3}, [](const Tensor& x) { return slice(x, 0, 2, 5); }),
               slice_case("last axis", {3, 7}, [](const Tensor& x) { return slice(x, -1, 1, 4); }),
               slice_case("middle axis", {2, 5, 3}, [](const Tensor& x) { return slice(x, 1, 0, 4); }),
               slice_case("nothing", {3, 4}, [](const Tensor& x) { return slice(x, 1, 2, 2); })}});

const OpRegistration pad_registration(
    {.name = "pad",
     .cases = {slice_case("first axis", {3, 4}, [](const Tensor& x) { return pad(x, 0, 2, 1); }),
               slice_case("last axis", {3, 4}, [](const Tensor& x) { return pad(x, -1, 0, 3); }),
               slice_case("empty", {2, 0, 3}, [](const Tensor& x) { return pad(x, 1, 1, 1); })}});

OpCase split_case(std::string name, Shape shape, int axis, std::int64_t first, std::int64_t second) {
  return {.name = std::move(name), .inputs = {{.shape = shape}}, .call = [=](std::span<const Tensor> inputs) {
            return split(inputs[0], axis, {first, second, inputs[0].dim(axis) - first - second});
          }};
}

const OpRegistration split_registration(
    {.name = "split",
     .cases = {split_case("first axis", {6, 3}, 0, 2, 3), split_case("last axis", {3, 7}, -1, 1, 4),
               split_case("middle axis", {2, 5, 3}, 1, 0, 4), split_case("nothing", {0, 3}, 1, 1, 1)}});

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
