#include "zoo/ops/recurrent_cell.h"

#include <utility>

#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/gpu/recurrent_cell.h"
#include "zoo/gpu/traffic_model.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/steps.h"

namespace zoo::ops {

namespace {

template <typename At>
cpu::CellInputs<typename At::Real> pointers(const At& at, std::span<const Tensor> inputs) {
  return {at(inputs[0]), at(inputs[1]), at(inputs[2]), at(inputs[3]), at.if_defined(inputs[4])};
}

// Inputs: x, weight, bias, hidden, carried or undefined. Outputs: h, and an LSTM's last carried.
class RecurrentCell final : public FusedOp {
 public:
  RecurrentCell(const cpu::CellSizes& sizes, bool recorded) : sizes_(sizes), recorded_(recorded) {}

  std::string_view name() const override { return "recurrent_cell"; }
  Keep keeps_output(std::size_t) const override { return Keep::activation; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const DType dtype = inputs[0].dtype();
    Tensor h = Tensor::empty({sizes_.batch, sizes_.length, sizes_.width}, dtype);
    Tensor carried = lstm() ? Tensor::empty(inputs[4].shape(), dtype) : Tensor{};
    if (recorded_ && sizes_.kept() > 0) {
      kept_ = Tensor::empty({sizes_.batch, sizes_.length, sizes_.kept() * sizes_.width}, dtype);
    }
    dispatch(dtype, name(), [&](auto at) {
      const cpu::CellOutputs<typename decltype(at)::Real> outputs{at(h), at.if_defined(carried), at.if_defined(kept_)};
      if constexpr (at.gpu) {
        gpu::recurrent_cell_forward(sizes_, pointers(at, inputs), outputs, at.stream());
      } else {
        cpu::recurrent_cell_forward(sizes_, pointers(at, inputs), outputs);
      }
    });
    count_flops(flops());
    if constexpr (gpu_built) gpu::model_shared_traffic([&] { return gpu::recurrent_cell_forward_traffic(sizes_); });
    return lstm() ? Tensors{h, carried} : Tensors{h};
  }

  Tensors backward(const Executed& executed) override {
    const DType dtype = executed.inputs[0].dtype();
    Tensors gradients(5);
    gradients[0] = Tensor::empty(executed.inputs[0].shape(), dtype);
    gradients[3] = Tensor::empty(executed.inputs[3].shape(), dtype);
    if (lstm()) gradients[4] = Tensor::empty(executed.inputs[4].shape(), dtype);
    Tensor gates = sizes_.cell == Cell::gru ? Tensor::empty(executed.inputs[0].shape(), dtype) : gradients[0];
    const Tensor dh = executed.output_grad(0);
    const Tensor dcarried = lstm() ? executed.output_grads[1] : Tensor{};
    dispatch(dtype, name(), [&](auto at) {
      using T = typename decltype(at)::Real;
      const cpu::CellResults<T> results{at(executed.outputs[0]), at.if_defined(std::as_const(kept_)), at(dh),
                                        at.if_defined(dcarried)};
      const cpu::CellGradients<T> into{at(gradients[0]), at(gates), at(gradients[3]), at.if_defined(gradients[4])};
      if constexpr (at.gpu) {
        gpu::recurrent_cell_backward(sizes_, pointers(at, executed.inputs), results, into, at.stream());
      } else {
        cpu::recurrent_cell_backward(sizes_, pointers(at, executed.inputs), results, into);
      }
    });
    count_flops(flops());
    if constexpr (gpu_built) gpu::model_shared_traffic([&] { return gpu::recurrent_cell_backward_traffic(sizes_); });
    const Tensor rows = reshape(gates, {-1, gates.dim(2)});
    if (executed.needs(1)) gradients[1] = matmul(rows, hidden_before_each_step(executed), true, false);
    if (executed.needs(2)) gradients[2] = sum(rows, 0);
    for (std::size_t i = 0; i < 5; ++i) {
      if (!executed.needs(i)) gradients[i] = {};
    }
    return gradients;
  }

  Tensors fallback(std::span<const Tensor> inputs) override {
    Tensor h = inputs[3], c = inputs[4];
    Tensors all;
    for (std::int64_t t = 0; t < sizes_.length; ++t) {
      const Tensor x = step_of(inputs[0], t);
      const Tensor g = linear(h, inputs[1], inputs[2]);
      const auto gate = [&](const Tensor& of, std::int64_t index) {
        return slice(of, 1, index * sizes_.width, (index + 1) * sizes_.width);
      };
      if (sizes_.cell == Cell::tanh) {
        h = tanh(x + g);
      } else if (lstm()) {
        const Tensor sums = x + g;
        c = sigmoid(gate(sums, 1)) * c + sigmoid(gate(sums, 0)) * tanh(gate(sums, 2));
        h = sigmoid(gate(sums, 3)) * tanh(c);
      } else {
        const Tensor r = sigmoid(gate(x, 0) + gate(g, 0)), z = sigmoid(gate(x, 1) + gate(g, 1));
        const Tensor n = tanh(gate(x, 2) + r * gate(g, 2));
        h = (1.0 - z) * n + z * h;
      }
      all.push_back(h);
    }
    Tensors outputs{join_steps(all)};
    if (lstm()) outputs.push_back(c);
    return outputs;
  }

 private:
  bool lstm() const { return sizes_.cell == Cell::lstm; }

  // h_{t-1} of each step, as rows [B*T, D].
  Tensor hidden_before_each_step(const Executed& executed) const {
    const Tensor first = reshape(executed.inputs[3].detach(), {sizes_.batch, 1, sizes_.width});
    const Tensor all = concat({first, slice(executed.outputs[0], 1, 0, sizes_.length - 1)}, 1);
    return reshape(all, {sizes_.batch * sizes_.length, sizes_.width});
  }

  // Of the products of hidden states and the matrix.
  double flops() const {
    return 2.0 * static_cast<double>(sizes_.batch * sizes_.length * sizes_.gates() * sizes_.width * sizes_.width);
  }

  cpu::CellSizes sizes_;
  bool recorded_;
  Tensor kept_;  // what the backward pass needs of each step
};

}  // namespace

CellRun recurrent_cell(Cell cell, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& hidden,
                       const Tensor& carried) {
  for (const Tensor* input : {&weight, &bias, &hidden}) check_same_real(x, *input, "recurrent_cell");
  const cpu::CellSizes sizes{cell, x.rank() == 3 ? x.dim(0) : 0, x.rank() == 3 ? x.dim(1) : 0,
                             hidden.rank() == 2 ? hidden.dim(1) : 0};
  const std::int64_t rows = sizes.gates() * sizes.width;
  const bool fits = x.shape() == Shape{sizes.batch, sizes.length, rows} && weight.shape() == Shape{rows, sizes.width} &&
                    bias.shape() == Shape{rows} && hidden.shape() == Shape{sizes.batch, sizes.width};
  if (!fits) {
    throw Error(
        "recurrent_cell of x {}, weight {}, bias {}, hidden {}: needs x [B,T,{}*D], weight [{}*D,D], bias "
        "[{}*D], hidden [B,D]",
        x.shape().str(), weight.shape().str(), bias.shape().str(), hidden.shape().str(), sizes.gates(), sizes.gates(),
        sizes.gates());
  }
  if (carried.defined() != (cell == Cell::lstm) || (carried.defined() && carried.shape() != hidden.shape())) {
    throw Error(
        "recurrent_cell: an LSTM, and no other, carries a second state of the shape {} of the first; given is {}",
        hidden.shape().str(), carried.defined() ? carried.shape().str() : "none");
  }
  if (carried.defined()) check_same_real(x, carried, "recurrent_cell");
  if (sizes.length == 0) return {Tensor::zeros(x.shape().with(2, sizes.width), x.dtype()), hidden, carried};
  const Tensor inputs[] = {x, weight, bias, hidden, carried};
  const Tensors outputs = zoo::apply(std::make_unique<RecurrentCell>(sizes, recorded(inputs)), inputs);
  return {outputs[0], step_of(outputs[0], sizes.length - 1), cell == Cell::lstm ? outputs[1] : Tensor{}};
}

namespace {

OpCase cell_case(std::string name, Cell cell, std::int64_t B, std::int64_t T, std::int64_t D) {
  const std::int64_t rows = cpu::CellSizes{.cell = cell}.gates() * D;
  OpCase result{.name = std::move(name), .inputs = {{.shape = {B, T, rows}}, {.shape = {rows, D}}}, .call = {}};
  result.inputs.push_back({.shape = {rows}});
  result.inputs.push_back({.shape = {B, D}});
  if (cell == Cell::lstm) result.inputs.push_back({.shape = {B, D}});
  result.call = [cell](std::span<const Tensor> inputs) {
    const Tensor weight = scale(inputs[1], 0.5);  // so that states are not pinned to the ends of tanh
    const CellRun run =
        recurrent_cell(cell, inputs[0], weight, inputs[2], inputs[3], cell == Cell::lstm ? inputs[4] : Tensor{});
    Tensors outputs{run.h, run.last_hidden};
    if (cell == Cell::lstm) outputs.push_back(run.last_carried);
    return outputs;
  };
  return result;
}

const OpRegistration registration(
    {.name = "recurrent_cell",
     .cases = {cell_case("tanh", Cell::tanh, 2, 5, 7), cell_case("lstm", Cell::lstm, 2, 5, 3),
               cell_case("gru", Cell::gru, 2, 5, 5), cell_case("tanh, whole vectors", Cell::tanh, 1, 4, 32),
               cell_case("lstm, two vectors", Cell::lstm, 3, 4, 18), cell_case("gru, one step", Cell::gru, 3, 1, 4),
               cell_case("lstm, one step", Cell::lstm, 1, 1, 5), cell_case("gru, few steps", Cell::gru, 2, 3, 6),
               cell_case("lstm, no sequences", Cell::lstm, 0, 3, 4), cell_case("gru, no steps", Cell::gru, 2, 0, 4)}});

}  // namespace

}  // namespace zoo::ops
