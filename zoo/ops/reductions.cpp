#include "zoo/cpu/reductions.h"

#include "zoo/gpu/reductions.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

cpu::AxisExtents extents_of(const Shape& shape, int axis) {
  cpu::AxisExtents extents{1, shape[axis], 1};
  for (int i = 0; i < axis; ++i) extents.outer *= shape[i];
  for (int i = axis + 1; i < shape.rank(); ++i) extents.inner *= shape[i];
  return extents;
}

class SumTo final : public Op {
 public:
  explicit SumTo(const Shape& shape) : shape_(shape) {}
  std::string_view name() const override { return "sum_to"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    Tensor rest = inputs[0];
    // Neighbouring axes that are all summed are one; from the outermost in, so that most is added in long rows.
    int axis = 0;
    while (axis < rest.rank()) {
      if (!summed(rest.shape(), axis)) {
        ++axis;
        continue;
      }
      Shape joined = rest.shape();
      std::int64_t count = joined[axis];
      while (axis + 1 < joined.rank() && (summed(joined, axis + 1) || joined[axis + 1] == 1)) {
        count *= joined[axis + 1];
        joined = joined.remove(axis + 1).insert(0, 1);
        ++axis;
      }
      joined = joined.with(axis, count);
      rest = summed_along(rest.view(joined), axis);
      ++axis;
    }
    return {rest.view(shape_)};
  }

  Tensors vjp(const Executed& executed) override {
    return {broadcast_to(executed.output_grad(), executed.inputs[0].shape())};
  }
  Keep keeps_input(std::size_t) const override { return Keep::shape; }

 private:
  // Whether `axis` of a tensor of that shape (of the input's rank) has to go: the result has extent 1 there, or
  // nothing.
  bool summed(const Shape& shape, int axis) const {
    const int ours = axis - (shape.rank() - shape_.rank());
    return shape[axis] != 1 && (ours < 0 || shape_[ours] == 1);
  }

  Tensor summed_along(const Tensor& x, int axis) const {
    Tensor y = Tensor::empty(x.shape().with(axis, 1), x.dtype());
    const cpu::AxisExtents extents = extents_of(x.shape(), axis);
    dispatch(x.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        Tensor scratch = Tensor::empty({gpu::sum_scratch(extents)});
        gpu::sum(extents, at(x), at(y), at(scratch), at.stream());
      } else {
        cpu::sum(extents, at(x), at(y));
      }
    });
    return y;
  }

  Shape shape_;
};

// The largest value along an axis, which stays with extent 1.
class Max final : public Op {
 public:
  explicit Max(int axis) : axis_(axis) {}
  std::string_view name() const override { return "max"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    Tensor y = Tensor::empty(x.shape().with(axis_, 1), x.dtype());
    const cpu::AxisExtents extents = extents_of(x.shape(), axis_);
    dispatch(x.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        gpu::max(extents, at(x), at(y), at.stream());
      } else {
        cpu::max(extents, at(x), at(y));
      }
    });
    return {y};
  }

  Tensors vjp(const Executed& executed) override {
    const Tensor& x = executed.inputs[0];
    const Tensor& y = executed.outputs[0];
    // Which element is the largest does not change with x: a constant.
    Tensor mask = Tensor::empty(x.shape(), x.dtype());
    const cpu::AxisExtents extents = extents_of(x.shape(), axis_);
    dispatch(x.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        gpu::first_max_mask(extents, at(x), at(y), at(mask), at.stream());
      } else {
        cpu::first_max_mask(extents, at(x), at(y), at(mask));
      }
    });
    return {executed.output_grad() * mask};
  }

  // Compared with each other.
  Keep keeps_input(std::size_t) const override { return Keep::exact; }
  Keep keeps_output(std::size_t) const override { return Keep::exact; }

 private:
  int axis_;
};

class Cumsum final : public Op {
 public:
  Cumsum(int axis, bool reverse) : axis_(axis), reverse_(reverse) {}
  std::string_view name() const override { return "cumsum"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    Tensor y = Tensor::empty(x.shape(), x.dtype());
    const cpu::AxisExtents extents = extents_of(x.shape(), axis_);
    dispatch(x.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        gpu::cumsum(extents, at(x), reverse_, at(y), at.stream());
      } else {
        cpu::cumsum(extents, at(x), reverse_, at(y));
      }
    });
    return {y};
  }

  Tensors vjp(const Executed& executed) override { return {cumsum(executed.output_grad(), axis_, !reverse_)}; }
  Keep keeps_input(std::size_t) const override { return Keep::shape; }

 private:
  int axis_;
  bool reverse_;
};

Tensor without_axis(const Tensor& x, int axis, bool keep) {
  return keep ? x : reshape(x, x.shape().remove(axis));
}

}  // namespace

Tensor sum_to(const Tensor& x, const Shape& shape) {
  check_real(x, "sum_to");
  if (shape == x.shape()) return x;
  if (shape.rank() > x.rank() || broadcast(shape, x.shape()) != x.shape()) {
    throw Error("a tensor of shape {} cannot be summed to {}, which does not broadcast to it", x.shape().str(),
                shape.str());
  }
  return apply_one(std::make_unique<SumTo>(shape), {x});
}

Tensor sum(const Tensor& x, int axis, bool keep) {
  check_real(x, "sum");
  axis = x.shape().normalize(axis);
  return without_axis(sum_to(x, x.shape().with(axis, 1)), axis, keep);
}

Tensor sum(const Tensor& x) {
  return sum_to(x, Shape{});
}

Tensor mean(const Tensor& x, int axis, bool keep) {
  check_real(x, "mean");
  return scale(sum(x, axis, keep), 1.0 / static_cast<double>(x.dim(axis)));
}

Tensor mean(const Tensor& x) {
  check_real(x, "mean");
  return scale(sum(x), 1.0 / static_cast<double>(x.size()));
}

Tensor max(const Tensor& x, int axis, bool keep) {
  check_real(x, "max");
  axis = x.shape().normalize(axis);
  if (x.dim(axis) == 0) throw Error("max along axis {} of a tensor of shape {}: there is none", axis, x.shape().str());
  return without_axis(apply_one(std::make_unique<Max>(axis), {x}), axis, keep);
}

Tensor cumsum(const Tensor& x, int axis, bool reverse) {
  check_real(x, "cumsum");
  return apply_one(std::make_unique<Cumsum>(x.shape().normalize(axis), reverse), {x});
}

Tensor argmax(const Tensor& x) {
  check_real(x, "argmax");
  const int last = x.shape().normalize(-1);
  if (x.dim(last) == 0) throw Error("argmax over no elements: the tensor's shape is {}", x.shape().str());
  Tensor y = Tensor::empty(x.shape().remove(last), DType::i32);
  const cpu::AxisExtents extents = extents_of(x.shape(), last);
  dispatch(x.dtype(), "argmax", [&](auto at) {
    if constexpr (at.gpu) {
      gpu::argmax(extents, at(x), y.device_data<std::int32_t>(), at.stream());
    } else {
      cpu::argmax(extents, at(x), y.data<std::int32_t>());
    }
  });
  return y;
}

namespace {

OpCase reduction_case(std::string name, Shape shape, std::function<Tensor(const Tensor&)> call) {
  return {.name = std::move(name), .inputs = {{.shape = shape}}, .call = [call](std::span<const Tensor> inputs) {
            return Tensors{call(inputs[0])};
          }};
}

using AxisFunction = Tensor (*)(const Tensor&, int, bool);

std::vector<OpCase> axis_cases(AxisFunction call) {
  return {reduction_case("last axis", {5, 19}, [call](const Tensor& x) { return call(x, -1, false); }),
          reduction_case("first axis", {7, 37}, [call](const Tensor& x) { return call(x, 0, true); }),
          reduction_case("middle axis", {2, 5, 3}, [call](const Tensor& x) { return call(x, 1, false); }),
          reduction_case("one element", {3, 1}, [call](const Tensor& x) { return call(x, 1, false); }),
          reduction_case("nothing left", {0, 3}, [call](const Tensor& x) { return call(x, 1, false); })};
}

OpEntry sum_entry() {
  OpEntry entry{.name = "sum", .cases = axis_cases(sum)};
  entry.cases.push_back(reduction_case("all", {3, 7}, [](const Tensor& x) { return sum(x); }));
  entry.cases.push_back(reduction_case("of nothing", {2, 0}, [](const Tensor& x) { return sum(x, 1); }));
  entry.cases.push_back(reduction_case("long", {9001}, [](const Tensor& x) { return sum(x); }));
  entry.cases.push_back(reduction_case("many rows", {1200, 5}, [](const Tensor& x) { return sum(x, 0); }));
  return entry;
}

OpEntry mean_entry() {
  OpEntry entry{.name = "mean", .cases = axis_cases(mean)};
  entry.cases.push_back(reduction_case("all", {3, 7}, [](const Tensor& x) { return mean(x); }));
  return entry;
}

const OpRegistration sum_registration(sum_entry());
const OpRegistration mean_registration(mean_entry());

// Different whole numbers in a scrambled order (11 divides none of the cases' sizes), plus a little of x: no two
// elements are nearly equal, where the largest has no derivative.
Tensor well_separated(const Tensor& x) {
  Tensor whole = Tensor::empty(x.shape(), DType::f64);
  for (std::int64_t i = 0; i < x.size(); ++i) whole.data<double>()[i] = static_cast<double>(i * 11 % x.size());
  return x * 0.01 + whole.to(x.dtype());
}

Tensor max_of_separated(const Tensor& x, int axis, bool keep) {
  return max(well_separated(x), axis, keep);
}

const OpRegistration max_registration({.name = "max", .cases = axis_cases(max_of_separated)});
const OpRegistration sum_to_registration(
    {.name = "sum_to",
     .cases = {reduction_case("row", {3, 4, 5}, [](const Tensor& x) { return sum_to(x, {5}); }),
               reduction_case("column", {4, 5},
                              [](const Tensor& x) {
                                return sum_to(x, {4, 1});
                              }),
               reduction_case("middle", {3, 4, 5},
                              [](const Tensor& x) {
                                return sum_to(x, {4, 1});
                              }),
               reduction_case("every other", {2, 3, 2, 3},
                              [](const Tensor& x) {
                                return sum_to(x, {2, 1, 2, 1});
                              }),
               reduction_case("around one", {3, 1, 4, 2},
                              [](const Tensor& x) {
                                return sum_to(x, {1, 1, 1, 2});
                              }),
               reduction_case("empty", {0, 3}, [](const Tensor& x) { return sum_to(x, {3}); })}});
const OpRegistration cumsum_registration(
    {.name = "cumsum",
     .cases = {reduction_case("last axis", {3, 17}, [](const Tensor& x) { return cumsum(x, -1); }),
               reduction_case("first axis", {9, 5}, [](const Tensor& x) { return cumsum(x, 0); }),
               reduction_case("reverse", {2, 7, 3}, [](const Tensor& x) { return cumsum(x, 1, true); }),
               reduction_case("empty", {2, 0, 3}, [](const Tensor& x) { return cumsum(x, 1); })}});
const OpRegistration argmax_registration(
    {.name = "argmax",
     .cases = {reduction_case("plain", {4, 9}, [](const Tensor& x) { return argmax(well_separated(x)); }),
               reduction_case("no rows", {0, 3}, [](const Tensor& x) { return argmax(x); })}});

}  // namespace

}  // namespace zoo::ops
