#include "zoo/ops/linear_recurrence.h"

#include <algorithm>

#include "zoo/core/error.h"
#include "zoo/ops/families.h"
#include "zoo/ops/op_cases.h"

namespace zoo::ops {

namespace {

// Powers of each head's decay: exp(log(decay) * exponents), broadcast. decay [H,1,1].
Tensor powers(const Tensor& decay, const Tensor& exponents) {
  return exp(log(decay) * exponents);
}

// max(first + row_step * i + column_step * j, 0) as a [rows, columns] tensor.
Tensor exponents(std::int64_t rows, std::int64_t columns, std::int64_t first, std::int64_t row_step,
                 std::int64_t column_step, DType dtype) {
  Tensor result = Tensor::empty({rows, columns}, DType::f64);
  double* element = result.data<double>();
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      *element++ = static_cast<double>(std::max<std::int64_t>(first + row_step * i + column_step * j, 0));
    }
  }
  return result.to(dtype);
}

// 1 where s <= t, else 0: [T,T].
Tensor causal_mask(std::int64_t T, DType dtype) {
  Tensor result = Tensor::empty({T, T}, DType::f64);
  double* element = result.data<double>();
  for (std::int64_t t = 0; t < T; ++t) {
    for (std::int64_t s = 0; s < T; ++s) *element++ = s <= t ? 1 : 0;
  }
  return result.to(dtype);
}

// Inputs: q, k, v, initial, decay or undefined. Outputs: y and the last state.
class LinearRecurrence final : public RecurrenceOp {
 public:
  explicit LinearRecurrence(const cpu::RecurrenceSizes& sizes, bool decay)
      : RecurrenceOp(sizes, decay ? cpu::RecurrenceDecay::head : cpu::RecurrenceDecay::none) {}

  std::string_view name() const override { return "linear_recurrence"; }

  // The recurrence unrolled: y_t = decay^(t+1) S_0^T q_t + sum_{s<=t} decay^(t-s) (q_t.k_s) v_s.
  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor q = permute(inputs[0], {0, 2, 1, 3});  // [B,H,T,dk]
    Tensor k = permute(inputs[1], {0, 2, 1, 3});
    const Tensor v = permute(inputs[2], {0, 2, 1, 3});
    const Tensor& initial = inputs[3];
    const std::int64_t T = q.dim(2), H = q.dim(1);
    const DType dtype = q.dtype();

    Tensor scores = matmul(q, k, false, true) * causal_mask(T, dtype);
    Tensor past = matmul(q, initial);
    Tensor state = initial;
    if (inputs[4].defined()) {
      const Tensor decay = reshape(inputs[4], {H, 1, 1});
      scores = scores * powers(decay, exponents(T, T, 0, 1, -1, dtype));
      past = past * powers(decay, exponents(T, 1, 1, 1, 0, dtype));
      state = state * powers(decay, exponents(1, 1, T, 0, 0, dtype));
      k = k * powers(decay, exponents(T, 1, T - 1, -1, 0, dtype));
    }
    const Tensor y = past + matmul(scores, v);
    return {permute(y, {0, 2, 1, 3}), state + matmul(k, v, true, false)};
  }

 protected:
  Terms terms(std::span<const Tensor> inputs) const override {
    return {.log_decay = inputs[4].defined() ? log(inputs[4]) : Tensor{}, .bonus = {}, .step = {}, .skip = {}};
  }
  Tensors gradients_of_others(std::span<const Tensor> inputs, const Terms& gradients) const override {
    return {sum(sum(gradients.log_decay, 0), 0) / inputs[4]};
  }
};

void check_decay(const Tensor& decay) {
  for (std::int64_t h = 0; h < decay.size(); ++h) {
    const double value = decay.dtype() == DType::f32 ? decay.data<float>()[h] : decay.data<double>()[h];
    if (!(value > 0)) throw Error("linear_recurrence: the decay of head {} is {}; it must be above 0", h, value);
  }
}

}  // namespace

Recurrence linear_recurrence(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& initial,
                             const Tensor& decay) {
  const bool fits = q.rank() == 4 && k.shape() == q.shape() && v.rank() == 4 &&
                    v.shape().with(3, 0) == q.shape().with(3, 0) &&
                    initial.shape() == Shape{q.dim(0), q.dim(2), q.dim(3), v.dim(3)} && k.dtype() == q.dtype() &&
                    v.dtype() == q.dtype() && initial.dtype() == q.dtype();
  if (!fits) {
    throw Error(
        "linear_recurrence of q {}, k {}, v {}, initial {}: needs q, k [B,T,H,dk], v [B,T,H,dv], initial "
        "[B,H,dk,dv], in one dtype",
        q.shape().str(), k.shape().str(), v.shape().str(), initial.shape().str());
  }
  if (decay.defined()) {
    if (decay.shape() != Shape{q.dim(2)} || decay.dtype() != q.dtype()) {
      throw Error("linear_recurrence: decay is {}, needed is one value for each of the {} heads, in q's dtype",
                  decay.shape().str(), q.dim(2));
    }
    check_decay(decay);
  }
  if (q.dim(1) == 0) return {Tensor::zeros(v.shape(), v.dtype()), initial};
  const Tensor inputs[] = {q, k, v, initial, decay};
  const Tensors outputs =
      zoo::apply(std::make_unique<LinearRecurrence>(recurrence_sizes(q, v), decay.defined()), inputs);
  return {outputs[0], outputs[1]};
}

namespace {

OpCase recurrence_case(std::string name, std::int64_t B, std::int64_t T, std::int64_t H, std::int64_t dk,
                       std::int64_t dv, bool decay) {
  OpCase result{.name = std::move(name), .inputs = {{.shape = {B, T, H, dk}}, {.shape = {B, T, H, dk}}}, .call = {}};
  result.inputs.push_back({.shape = {B, T, H, dv}});
  result.inputs.push_back({.shape = {B, H, dk, dv}});
  if (decay) result.inputs.push_back({.shape = {H}});
  result.call = [](std::span<const Tensor> inputs) {
    const Tensor factor = inputs.size() == 5 ? sigmoid(inputs[4] + 1.0) : Tensor{};
    const Recurrence recurrence = linear_recurrence(inputs[0], inputs[1], inputs[2], inputs[3], factor);
    return Tensors{recurrence.y, recurrence.state};
  };
  return result;
}

const OpRegistration registration(
    {.name = "linear_recurrence",
     .cases = {recurrence_case("no decay", 2, 5, 2, 3, 4, false), recurrence_case("decay", 2, 7, 3, 4, 3, true),
               recurrence_case("several chunks", 1, 131, 1, 2, 3, false),
               recurrence_case("three chunks with decay", 1, 70, 2, 3, 17, true),
               recurrence_case("two segments", 1, 550, 1, 2, 1, true), recurrence_case("one step", 2, 1, 2, 8, 8, true),
               recurrence_case("no sequences", 0, 3, 2, 4, 4, true),
               recurrence_case("no steps", 2, 0, 2, 4, 4, false)}});

}  // namespace

}  // namespace zoo::ops
