#include "zoo/cpu/diagonal_scan_wkv.h"

#include "zoo/core/error.h"
#include "zoo/gpu/diagonal_scan_wkv.h"
#include "zoo/gpu/traffic_model.h"
#include "zoo/ops/diagonal_scan.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/steps.h"

namespace zoo::ops {

namespace {

template <typename At>
cpu::WkvInputs<typename At::Real> pointers(const At& at, std::span<const Tensor> inputs) {
  return {at(inputs[0]), at(inputs[1]), at(inputs[2]), at(inputs[3]), {at(inputs[4]), at(inputs[5]), at(inputs[6])}};
}

// Inputs: k, v, w, u, and the state p, q, o. Outputs: y and the next p, q, o.
class WkvOp final : public FusedOp {
 public:
  WkvOp(const cpu::ScanSizes& sizes, bool recorded) : sizes_(sizes), recorded_(recorded) {}

  std::string_view name() const override { return "wkv"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const DType dtype = inputs[0].dtype();
    Tensors outputs{Tensor::empty(inputs[0].shape(), dtype)};
    for (std::size_t i = 4; i < 7; ++i) outputs.push_back(Tensor::empty(inputs[i].shape(), dtype));
    if (recorded_) {
      const std::int64_t chunks = (sizes_.length + cpu::wkv_chunk - 1) / cpu::wkv_chunk;
      checkpoints_ = Tensor::empty({sizes_.batch, chunks, 3, sizes_.channels}, dtype);
    }
    dispatch(dtype, name(), [&](auto at) {
      const cpu::WkvOutputs<typename decltype(at)::Real> to{
          at(outputs[0]), {at(outputs[1]), at(outputs[2]), at(outputs[3])}, at.if_defined(checkpoints_)};
      if constexpr (at.gpu) {
        gpu::wkv_forward(sizes_, pointers(at, inputs), to, at.stream());
      } else {
        cpu::wkv_forward(sizes_, pointers(at, inputs), to);
      }
    });
    if constexpr (gpu_built) gpu::model_shared_traffic([&] { return gpu::wkv_forward_traffic(sizes_); });
    return outputs;
  }

  Tensors backward(const Executed& executed) override {
    const DType dtype = executed.inputs[0].dtype();
    Tensors gradients(7);
    for (const std::size_t i : {0, 1, 4, 5, 6}) gradients[i] = Tensor::empty(executed.inputs[i].shape(), dtype);
    Tensor dw = Tensor::empty({sizes_.batch, sizes_.channels}, dtype);
    Tensor du = Tensor::empty(dw.shape(), dtype);
    const Tensor dy = executed.output_grad(0);
    dispatch(dtype, name(), [&](auto at) {
      using T = typename decltype(at)::Real;
      const std::span<const Tensor> given = executed.output_grads;
      const cpu::WkvState<const T> dstate{at.if_defined(given[1]), at.if_defined(given[2]), at.if_defined(given[3])};
      const cpu::WkvGradients<T> into{
          at(gradients[0]), at(gradients[1]), at(dw), at(du), {at(gradients[4]), at(gradients[5]), at(gradients[6])}};
      const T* checkpoints = at(checkpoints_);
      if constexpr (at.gpu) {
        gpu::wkv_backward(sizes_, pointers(at, executed.inputs), checkpoints, at(dy), dstate, into, at.stream());
      } else {
        cpu::wkv_backward(sizes_, pointers(at, executed.inputs), checkpoints, at(dy), dstate, into);
      }
    });
    if constexpr (gpu_built) gpu::model_shared_traffic([&] { return gpu::wkv_backward_traffic(sizes_); });
    gradients[2] = sum(dw, 0);
    gradients[3] = sum(du, 0);
    for (std::size_t i = 0; i < 7; ++i) {
      if (!executed.needs(i)) gradients[i] = {};
    }
    return gradients;
  }

  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor &w = inputs[2], &u = inputs[3];
    Tensor p = inputs[4], q = inputs[5], o = inputs[6];
    Tensors y;
    for (std::int64_t t = 0; t < sizes_.length; ++t) {
      const Tensor k = step_of(inputs[0], t), v = step_of(inputs[1], t);
      const Tensor m = maximum(o, u + k);
      const Tensor past = exp(o - m), now = exp(u + k - m);
      y.push_back((past * p + now * v) / (past * q + now));
      const Tensor next = maximum(w + o, k);
      const Tensor kept = exp(w + o - next), added = exp(k - next);
      p = kept * p + added * v;
      q = kept * q + added;
      o = next;
    }
    return {join_steps(y), p, q, o};
  }

 private:
  cpu::ScanSizes sizes_;
  bool recorded_;
  Tensor checkpoints_;  // states between chunks, for the backward pass
};

}  // namespace

Wkv wkv(const Tensor& k, const Tensor& v, const Tensor& w, const Tensor& u, const WkvState& state) {
  const Tensor inputs[] = {k, v, w, u, state.p, state.q, state.o};
  for (const Tensor& input : inputs) check_same_real(k, input, "wkv");
  const bool fits = k.rank() == 3 && v.shape() == k.shape() && w.shape() == Shape{k.dim(2)} && u.shape() == w.shape() &&
                    state.p.shape() == k.shape().remove(1) && state.q.shape() == state.p.shape() &&
                    state.o.shape() == state.p.shape();
  if (!fits) {
    throw Error("wkv of k {}, v {}, w {}, u {}, state {}, {}, {}: needs k, v [B,T,C], w, u [C], p, q, o [B,C]",
                k.shape().str(), v.shape().str(), w.shape().str(), u.shape().str(), state.p.shape().str(),
                state.q.shape().str(), state.o.shape().str());
  }
  if (k.dim(1) == 0) return {k, state};
  const Tensors outputs =
      zoo::apply(std::make_unique<WkvOp>(cpu::ScanSizes{k.dim(0), k.dim(1), k.dim(2)}, recorded(inputs)), inputs);
  return {outputs[0], {outputs[1], outputs[2], outputs[3]}};
}

namespace {

using Call = std::function<Tensors(std::span<const Tensor> inputs)>;

OpCase wkv_case(std::string name, std::int64_t B, std::int64_t T, std::int64_t C, Call call) {
  OpCase result{.name = std::move(name), .inputs = {{.shape = {B, T, C}}, {.shape = {B, T, C}}}, .call = {}};
  result.inputs.push_back({.shape = {C}});
  result.inputs.push_back({.shape = {C}});
  result.inputs.push_back({.shape = {B, C}});
  // q is a sum of exponentials.
  result.inputs.push_back({.shape = {B, C}, .kind = InputSpec::Kind::positive});
  result.inputs.push_back({.shape = {B, C}});
  result.call = std::move(call);
  return result;
}

// The sums themselves, p e^o and q e^o: p, q and o have no derivative where the maximum changes hands.
OpCase wkv_case(std::string name, std::int64_t B, std::int64_t T, std::int64_t C) {
  return wkv_case(std::move(name), B, T, C, [](std::span<const Tensor> in) {
    const Wkv run = wkv(in[0], in[1], neg(exp(in[2])), in[3], {in[4], in[5], in[6]});
    return Tensors{run.y, run.state.p * exp(run.state.o), run.state.q * exp(run.state.o)};
  });
}

// p, q and o, of exponents so far apart that the maximum is always the past's, or always the current key.
OpCase maximum_case(std::string name, double decay, double start) {
  return wkv_case(std::move(name), 2, 4, 5, [decay, start](std::span<const Tensor> in) {
    const Tensor k = scale(tanh(in[0]), 0.2), o = scale(tanh(in[6]), 0.2) + start;
    const Wkv run = wkv(k, in[1], scale(sigmoid(in[2]), -0.1) - decay, in[3], {in[4], in[5], o});
    return Tensors{run.y, run.state.p, run.state.q, run.state.o};
  });
}

// From before the first token, in two chunks: gradients pass through the state between them.
OpCase chunks_case() {
  OpCase result = wkv_case("from the start, in chunks", 2, 7, 5, [](std::span<const Tensor> in) {
    const Tensor &k = in[0], &v = in[1];
    const Tensor zero = Tensor::zeros(k.shape().remove(1), k.dtype());
    const Tensor w = neg(exp(in[2]));
    const WkvState start{zero, zero, Tensor::full(zero.shape(), -1e38, k.dtype())};
    const Wkv first = wkv(slice(k, 1, 0, 3), slice(v, 1, 0, 3), w, in[3], start);
    const Wkv second = wkv(slice(k, 1, 3, 7), slice(v, 1, 3, 7), w, in[3], first.state);
    return Tensors{first.y, second.y, second.state.p * exp(second.state.o)};
  });
  result.inputs.resize(4);
  return result;
}

const OpRegistration registration(
    {.name = "wkv",
     .cases = {wkv_case("odd sizes", 2, 5, 7), wkv_case("whole vectors", 1, 3, 32), wkv_case("three chunks", 1, 35, 2),
               chunks_case(), maximum_case("the past is larger", 0, 3), maximum_case("keys are larger", 1, -3),
               wkv_case("two blocks of channels", 1, 2, 259), wkv_case("one step", 3, 1, 5),
               wkv_case("no sequences", 0, 3, 4), wkv_case("no steps", 2, 0, 4)}});

}  // namespace

}  // namespace zoo::ops
