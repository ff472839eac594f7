#include "zoo/cpu/elementwise.h"

#include "zoo/gpu/elementwise.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

using cpu::Unary;

// f'(x) g in ops, given x, y = f(x) (undefined unless derivative_reads_value) and g.
using Vjp = Tensor (*)(const Tensor& x, const Tensor& y, const Tensor& g);

constexpr double gelu_slope = 1.5957691216057307117598;  // sqrt(8/pi)
constexpr double gelu_cubic = 0.044715;

Tensor gelu_vjp(const Tensor& x, const Tensor&, const Tensor& g) {
  const Tensor squared = square(x);
  const Tensor gate = sigmoid(mul(x, add_scalar(scale(squared, gelu_slope * gelu_cubic), gelu_slope)));
  const Tensor slope = add_scalar(scale(squared, gelu_slope * 3 * gelu_cubic), gelu_slope);
  return g * (gate + x * (gate * (1.0 - gate)) * slope);
}

Tensor silu_vjp(const Tensor& x, const Tensor&, const Tensor& g) {
  const Tensor gate = sigmoid(x);
  return g * (gate * (1.0 + x * (1.0 - gate)));
}

// exp(min(x, 0)): 1 above 0, and no overflow there whose gradient would be infinity times 0.
Tensor elu_vjp(const Tensor& x, const Tensor&, const Tensor& g) {
  return g * exp(minimum(x, Tensor::zeros({}, x.dtype())));
}

Tensor relu_vjp(const Tensor& x, const Tensor&, const Tensor& g) {
  return g * greater(x, Tensor::zeros({}, x.dtype()));
}

struct Definition {
  Unary kind;
  std::string_view name;
  Vjp vjp;
};

// Each op with its gradient.
constexpr Definition definitions[] = {
    {Unary::neg, "neg", [](const Tensor&, const Tensor&, const Tensor& g) { return neg(g); }},
    {Unary::abs, "abs", [](const Tensor& x, const Tensor&, const Tensor& g) { return g * sign(x); }},
    {Unary::sign, "sign", [](const Tensor&, const Tensor&, const Tensor&) { return Tensor{}; }},
    {Unary::square, "square", [](const Tensor& x, const Tensor&, const Tensor& g) { return g * (x + x); }},
    {Unary::sqrt, "sqrt", [](const Tensor&, const Tensor& y, const Tensor& g) { return 0.5 * g / y; }},
    {Unary::rsqrt, "rsqrt", [](const Tensor&, const Tensor& y, const Tensor& g) { return -0.5 * g * (y * y * y); }},
    {Unary::reciprocal, "reciprocal", [](const Tensor&, const Tensor& y, const Tensor& g) { return -(g * (y * y)); }},
    {Unary::exp, "exp", [](const Tensor&, const Tensor& y, const Tensor& g) { return g * y; }},
    {Unary::log, "log", [](const Tensor& x, const Tensor&, const Tensor& g) { return g / x; }},
    {Unary::sin, "sin", [](const Tensor& x, const Tensor&, const Tensor& g) { return g * cos(x); }},
    {Unary::cos, "cos", [](const Tensor& x, const Tensor&, const Tensor& g) { return -(g * sin(x)); }},
    {Unary::tanh, "tanh", [](const Tensor&, const Tensor& y, const Tensor& g) { return g * (1.0 - y * y); }},
    {Unary::sigmoid, "sigmoid", [](const Tensor&, const Tensor& y, const Tensor& g) { return g * (y * (1.0 - y)); }},
    {Unary::log_sigmoid, "log_sigmoid",
     [](const Tensor& x, const Tensor&, const Tensor& g) { return g * sigmoid(-x); }},
    {Unary::softplus, "softplus", [](const Tensor& x, const Tensor&, const Tensor& g) { return g * sigmoid(x); }},
    {Unary::relu, "relu", relu_vjp},
    {Unary::elu, "elu", elu_vjp},
    {Unary::silu, "silu", silu_vjp},
    {Unary::gelu_tanh, "gelu_tanh", gelu_vjp},
};

constexpr const Definition& definition_of(Unary kind) {
  return definitions[static_cast<std::size_t>(kind)];
}

class Elementwise final : public Op {
 public:
  explicit Elementwise(const Definition& definition) : definition_(definition) {}
  std::string_view name() const override { return definition_.name; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    Tensor y = Tensor::empty(x.shape(), x.dtype());
    dispatch(x.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        gpu::unary(definition_.kind, at(x), at(y), x.size(), at.stream());
      } else {
        cpu::unary(definition_.kind, at(x), at(y), x.size());
      }
    });
    return {y};
  }

  Tensors vjp(const Executed& executed) override {
    return {definition_.vjp(executed.inputs[0], executed.outputs[0], executed.output_grad())};
  }

  Tensors backward(const Executed& executed) override {
    const Tensor& kept = reads_value() ? executed.outputs[0] : executed.inputs[0];
    const Tensor grad = executed.output_grad();
    Tensor result = Tensor::empty(kept.shape(), kept.dtype());
    dispatch(kept.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        gpu::unary_backward(definition_.kind, at(kept), at(grad), at(result), kept.size(), at.stream());
      } else {
        cpu::unary_backward(definition_.kind, at(kept), at(grad), at(result), kept.size());
      }
    });
    return {result};
  }

  // Angles are exact: of a large one rounding would leave no phase.
  Keep keeps_input(std::size_t) const override {
    if (reads_value()) return Keep::shape;
    const bool angle = definition_.kind == Unary::sin || definition_.kind == Unary::cos;
    return angle ? Keep::exact : Keep::activation;
  }
  Keep keeps_output(std::size_t) const override { return reads_value() ? Keep::activation : Keep::shape; }

 private:
  bool reads_value() const { return cpu::derivative_reads_value(definition_.kind); }

  const Definition& definition_;
};

Tensor apply_elementwise(Unary kind, const Tensor& x) {
  const Definition& definition = definition_of(kind);
  check_real(x, definition.name);
  return apply_one(std::make_unique<Elementwise>(definition), {x});
}

class Scale final : public Op {
 public:
  explicit Scale(double factor) : factor_(factor) {}
  std::string_view name() const override { return "scale"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    Tensor y = Tensor::empty(x.shape(), x.dtype());
    dispatch(x.dtype(), name(), [&](auto at) {
      const auto factor = static_cast<typename decltype(at)::Real>(factor_);
      if constexpr (at.gpu) {
        gpu::scale(at(x), factor, at(y), x.size(), at.stream());
      } else {
        cpu::scale(at(x), factor, at(y), x.size());
      }
    });
    return {y};
  }

  Tensors vjp(const Executed& executed) override { return {scale(executed.output_grad(), factor_)}; }
  Keep keeps_input(std::size_t) const override { return Keep::shape; }

 private:
  double factor_;
};

class AddScalar final : public Op {
 public:
  explicit AddScalar(double term) : term_(term) {}
  std::string_view name() const override { return "add_scalar"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    Tensor y = Tensor::empty(x.shape(), x.dtype());
    dispatch(x.dtype(), name(), [&](auto at) {
      const auto term = static_cast<typename decltype(at)::Real>(term_);
      if constexpr (at.gpu) {
        gpu::add_scalar(at(x), term, at(y), x.size(), at.stream());
      } else {
        cpu::add_scalar(at(x), term, at(y), x.size());
      }
    });
    return {y};
  }

  Tensors vjp(const Executed& executed) override { return {executed.output_grad()}; }
  Keep keeps_input(std::size_t) const override { return Keep::shape; }

 private:
  double term_;
};

class Cast final : public Op {
 public:
  explicit Cast(DType dtype) : dtype_(dtype) {}
  std::string_view name() const override { return "cast"; }
  Tensors forward(std::span<const Tensor> inputs) override { return {inputs[0].to(dtype_)}; }
  Tensors vjp(const Executed& executed) override { return {cast(executed.output_grad(), executed.inputs[0].dtype())}; }
  Keep keeps_input(std::size_t) const override { return Keep::shape; }

 private:
  DType dtype_;
};

}  // namespace

// clang-format off
Tensor neg(const Tensor& x) { return apply_elementwise(Unary::neg, x); }
Tensor abs(const Tensor& x) { return apply_elementwise(Unary::abs, x); }
Tensor sign(const Tensor& x) { return apply_elementwise(Unary::sign, x.detach()); }
Tensor square(const Tensor& x) { return apply_elementwise(Unary::square, x); }
Tensor sqrt(const Tensor& x) { return apply_elementwise(Unary::sqrt, x); }
Tensor rsqrt(const Tensor& x) { return apply_elementwise(Unary::rsqrt, x); }
Tensor reciprocal(const Tensor& x) { return apply_elementwise(Unary::reciprocal, x); }
Tensor exp(const Tensor& x) { return apply_elementwise(Unary::exp, x); }
Tensor log(const Tensor& x) { return apply_elementwise(Unary::log, x); }
Tensor sin(const Tensor& x) { return apply_elementwise(Unary::sin, x); }
Tensor cos(const Tensor& x) { return apply_elementwise(Unary::cos, x); }
Tensor tanh(const Tensor& x) { return apply_elementwise(Unary::tanh, x); }
Tensor sigmoid(const Tensor& x) { return apply_elementwise(Unary::sigmoid, x); }
Tensor log_sigmoid(const Tensor& x) { return apply_elementwise(Unary::log_sigmoid, x); }
Tensor softplus(const Tensor& x) { return apply_elementwise(Unary::softplus, x); }
Tensor relu(const Tensor& x) { return apply_elementwise(Unary::relu, x); }
Tensor elu(const Tensor& x) { return apply_elementwise(Unary::elu, x); }
Tensor silu(const Tensor& x) { return apply_elementwise(Unary::silu, x); }
Tensor gelu_tanh(const Tensor& x) { return apply_elementwise(Unary::gelu_tanh, x); }
// clang-format on

Tensor scale(const Tensor& x, double factor) {
  check_real(x, "scale");
  return apply_one(std::make_unique<Scale>(factor), {x});
}

Tensor add_scalar(const Tensor& x, double term) {
  check_real(x, "add_scalar");
  return apply_one(std::make_unique<AddScalar>(term), {x});
}

Tensor cast(const Tensor& x, DType dtype) {
  check_defined(x, "cast");
  if (dtype == x.dtype()) return x;
  return apply_one(std::make_unique<Cast>(dtype), {x});
}

namespace {

OpCase unary_case(std::string name, InputSpec input, std::function<Tensor(const Tensor&)> call) {
  return {.name = std::move(name), .inputs = {std::move(input)}, .call = [call](std::span<const Tensor> inputs) {
            return Tensors{call(inputs[0])};
          }};
}

// Sizes that fill vectors of every width, that leave a rest, and none.
void register_unary(std::string name, std::function<Tensor(const Tensor&)> call, InputSpec spec = {}) {
  OpEntry entry{.name = std::move(name), .cases = {}};
  for (const auto& [what, shape] : {std::pair{"plain", Shape{4, 16}}, std::pair{"odd sizes", Shape{3, 7}},
                                    std::pair{"one element", Shape{}}, std::pair{"empty", Shape{0, 3}}}) {
    InputSpec input = spec;
    input.shape = shape;
    entry.cases.push_back(unary_case(what, input, call));
  }
  op_registry().add(std::move(entry));
}

const bool registered = [] {
  const InputSpec away_from_zero = {.shape = {}, .avoid = {0}};
  const InputSpec positive = {.shape = {}, .kind = InputSpec::Kind::positive};
  register_unary("neg", neg);
  register_unary("abs", abs, away_from_zero);
  register_unary("sign", sign, away_from_zero);
  register_unary("square", square);
  register_unary("sqrt", sqrt, positive);
  register_unary("rsqrt", rsqrt, positive);
  register_unary("reciprocal", reciprocal, positive);
  register_unary("exp", exp);
  register_unary("log", log, positive);
  register_unary("sin", sin);
  register_unary("cos", cos);
  register_unary("tanh", tanh);
  register_unary("sigmoid", sigmoid);
  register_unary("log_sigmoid", log_sigmoid);
  register_unary("softplus", softplus);
  register_unary("relu", relu, away_from_zero);
  register_unary("elu", elu, away_from_zero);
  register_unary("silu", silu);
  register_unary("gelu_tanh", gelu_tanh);
  register_unary("scale", [](const Tensor& x) { return scale(x, -1.75); });
  register_unary("add_scalar", [](const Tensor& x) { return add_scalar(x, 0.3); });
  // Twice, so that both directions are taken whatever the harness runs in.
  register_unary("cast", [](const Tensor& x) {
    return cast(cast(x, x.dtype() == DType::f32 ? DType::f64 : x.dtype()), x.dtype());
  });
  return true;
}();

}  // namespace

}  // namespace zoo::ops
