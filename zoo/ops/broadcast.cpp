#include "zoo/cpu/broadcast.h"

#include "zoo/gpu/broadcast.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

using cpu::Binary;

// Arithmetic of two tensors that broadcast; what differs between ops is the kernel's kind and the two gradients.
class BinaryOp : public Op {
 public:
  BinaryOp(std::string_view name, Binary kind, const Shape& shape) : name_(name), kind_(kind), shape_(shape) {}
  std::string_view name() const override { return name_; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& a = inputs[0];
    const Tensor& b = inputs[1];
    Tensor y = Tensor::empty(shape_, a.dtype());
    dispatch(a.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        const cpu::StridedLoops<2> loops(
            shape_, {cpu::broadcast_strides(a.shape(), shape_), cpu::broadcast_strides(b.shape(), shape_)});
        gpu::binary(kind_, y.size(), loops, at(a), at(b), at(y), at.stream());
      } else {
        cpu::binary(kind_, shape_, at(a), a.shape(), at(b), b.shape(), at(y));
      }
    });
    return {y};
  }

  Tensors vjp(const Executed& executed) override {
    const Tensor& a = executed.inputs[0];
    const Tensor& b = executed.inputs[1];
    const Tensor g = executed.output_grad();
    return {executed.needs(0) ? sum_to(gradient_of_a(a, b, g), a.shape()) : Tensor{},
            executed.needs(1) ? sum_to(gradient_of_b(a, b, g), b.shape()) : Tensor{}};
  }
  Keep keeps_input(std::size_t) const override {
    switch (kind_) {
      case Binary::mul:
      case Binary::div:
        return Keep::activation;
      case Binary::maximum:
      case Binary::minimum:
        return Keep::exact;  // the larger may be so by little
      case Binary::add:
      case Binary::sub:
      case Binary::greater:
        break;
    }
    return Keep::shape;
  }

 private:
  // Before broadcasting is undone.
  Tensor gradient_of_a(const Tensor& a, const Tensor& b, const Tensor& g) const {
    switch (kind_) {
      case Binary::add:
      case Binary::sub:
        return g;
      case Binary::mul:
        return g * b;
      case Binary::div:
        return g / b;
      case Binary::maximum:
        return where(greater(b, a), zero(g), g);
      case Binary::minimum:
        return where(greater(a, b), zero(g), g);
      case Binary::greater:
        break;
    }
    return zero(g);
  }

  Tensor gradient_of_b(const Tensor& a, const Tensor& b, const Tensor& g) const {
    switch (kind_) {
      case Binary::add:
        return g;
      case Binary::sub:
        return -g;
      case Binary::mul:
        return g * a;
      case Binary::div:
        return -(g / b * (a / b));
      case Binary::maximum:
        return where(greater(b, a), g, zero(g));
      case Binary::minimum:
        return where(greater(a, b), g, zero(g));
      case Binary::greater:
        break;
    }
    return zero(g);
  }

  static Tensor zero(const Tensor& g) { return Tensor::zeros({}, g.dtype()); }

  std::string_view name_;
  Binary kind_;
  Shape shape_;
};

Tensor apply_binary(std::string_view name, Binary kind, const Tensor& a, const Tensor& b) {
  check_same_real(a, b, name);
  return apply_one(std::make_unique<BinaryOp>(name, kind, broadcast(a.shape(), b.shape())), {a, b});
}

class Where final : public Op {
 public:
  explicit Where(const Shape& shape) : shape_(shape) {}
  std::string_view name() const override { return "where"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& condition = inputs[0];
    const Tensor& a = inputs[1];
    const Tensor& b = inputs[2];
    Tensor y = Tensor::empty(shape_, a.dtype());
    dispatch(a.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        const cpu::StridedLoops<3> loops(
            shape_, {cpu::broadcast_strides(condition.shape(), shape_), cpu::broadcast_strides(a.shape(), shape_),
                     cpu::broadcast_strides(b.shape(), shape_)});
        gpu::where(y.size(), loops, at(condition), at(a), at(b), at(y), at.stream());
      } else {
        cpu::where(shape_, at(condition), condition.shape(), at(a), a.shape(), at(b), b.shape(), at(y));
      }
    });
    return {y};
  }

  Tensors vjp(const Executed& executed) override {
    const Tensor& condition = executed.inputs[0];
    const Tensor g = executed.output_grad();
    const Tensor zero = Tensor::zeros({}, g.dtype());
    return {Tensor{}, executed.needs(1) ? sum_to(where(condition, g, zero), executed.inputs[1].shape()) : Tensor{},
            executed.needs(2) ? sum_to(where(condition, zero, g), executed.inputs[2].shape()) : Tensor{}};
  }
  // The condition.
  Keep keeps_input(std::size_t index) const override { return index == 0 ? Keep::activation : Keep::shape; }

 private:
  Shape shape_;
};

}  // namespace

// clang-format off
Tensor add(const Tensor& a, const Tensor& b) { return apply_binary("add", Binary::add, a, b); }
Tensor sub(const Tensor& a, const Tensor& b) { return apply_binary("sub", Binary::sub, a, b); }
Tensor mul(const Tensor& a, const Tensor& b) { return apply_binary("mul", Binary::mul, a, b); }
Tensor div(const Tensor& a, const Tensor& b) { return apply_binary("div", Binary::div, a, b); }
Tensor maximum(const Tensor& a, const Tensor& b) { return apply_binary("maximum", Binary::maximum, a, b); }
Tensor minimum(const Tensor& a, const Tensor& b) { return apply_binary("minimum", Binary::minimum, a, b); }
// clang-format on

Tensor greater(const Tensor& a, const Tensor& b) {
  return apply_binary("greater", Binary::greater, a.detach(), b.detach());
}

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  check_same_real(a, b, "where");
  check_same_real(condition, a, "where");
  const Shape shape = broadcast(condition.shape(), broadcast(a.shape(), b.shape()));
  return apply_one(std::make_unique<Where>(shape), {condition.detach(), a, b});
}

namespace {

using BinaryFunction = Tensor (*)(const Tensor&, const Tensor&);

OpCase binary_case(std::string name, Shape a, Shape b, BinaryFunction call, InputSpec::Kind kind_of_b) {
  return {.name = std::move(name),
          .inputs = {{.shape = a}, {.shape = b, .kind = kind_of_b}},
          .call = [call](std::span<const Tensor> inputs) { return Tensors{call(inputs[0], inputs[1])}; }};
}

OpEntry binary_entry(std::string name, BinaryFunction call, InputSpec::Kind kind_of_b = InputSpec::Kind::real) {
  const auto make = [&](std::string what, Shape a, Shape b) {
    return binary_case(std::move(what), a, b, call, kind_of_b);
  };
  return {.name = std::move(name),
          .cases = {make("same shape", {3, 7}, {3, 7}), make("scalar", {5, 3}, {}), make("scalar first", {}, {19}),
                    make("row", {4, 33}, {33}), make("column", {4, 5}, {4, 1}), make("outer", {5, 1}, {1, 18}),
                    make("column first", {6, 1}, {6, 3}), make("middle axis", {2, 1, 3, 2}, {2, 4, 1, 2}),
                    make("empty", {0, 3}, {1, 3})}};
}

const OpRegistration add_registration(binary_entry("add", add));
const OpRegistration sub_registration(binary_entry("sub", sub));
const OpRegistration mul_registration(binary_entry("mul", mul));
const OpRegistration div_registration(binary_entry("div", div, InputSpec::Kind::positive));

// The same cases with b close to whole numbers, which a keeps away from: a and b are never nearly equal, where these
// functions have no derivative.
OpEntry comparison_entry(std::string name, BinaryFunction call) {
  OpEntry entry = binary_entry(std::move(name), call);
  for (OpCase& each : entry.cases) {
    each.inputs[0].avoid = {-1, 0, 1};
    each.inputs.push_back({.shape = each.inputs[1].shape, .kind = InputSpec::Kind::index, .bound = 3});
    each.call = [call](std::span<const Tensor> inputs) {
      const Tensor whole = cast(inputs[2], inputs[1].dtype()) - 1.0;
      return Tensors{call(inputs[0], inputs[1] * 0.01 + whole)};
    };
  }
  return entry;
}

const OpRegistration maximum_registration(comparison_entry("maximum", maximum));
const OpRegistration minimum_registration(comparison_entry("minimum", minimum));
const OpRegistration greater_registration(comparison_entry("greater", greater));

OpCase where_case(std::string name, Shape condition, Shape a, Shape b) {
  return {.name = std::move(name),
          .inputs = {{.shape = condition, .avoid = {0}}, {.shape = a}, {.shape = b}},
          .call = [](std::span<const Tensor> inputs) {
            return Tensors{where(greater(inputs[0], Tensor::zeros({}, inputs[0].dtype())), inputs[1], inputs[2])};
          }};
}

const OpRegistration where_registration(
    {.name = "where",
     .cases = {where_case("same shape", {3, 7}, {3, 7}, {3, 7}), where_case("scalars", {5, 9}, {}, {}),
               where_case("broadcast", {4, 1, 3}, {2, 1}, {4, 2, 1}), where_case("empty", {0, 2}, {2}, {1, 1})}});

}  // namespace

}  // namespace zoo::ops
