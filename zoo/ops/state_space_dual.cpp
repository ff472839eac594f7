#include "zoo/ops/state_space_dual.h"

#include "zoo/core/error.h"
#include "zoo/ops/dtypes.h"
#include "zoo/ops/linear_recurrence.h"
#include "zoo/ops/op_cases.h"

namespace zoo::ops {

namespace {

// Inputs: C, B, x, initial, dt, A, D. Outputs: y and the last state.
class StateSpaceDual final : public RecurrenceOp {
 public:
  explicit StateSpaceDual(const cpu::RecurrenceSizes& sizes)
      : RecurrenceOp(sizes, cpu::RecurrenceDecay::head_and_step) {}

  std::string_view name() const override { return "state_space_dual"; }

  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor &C = inputs[0], &B = inputs[1], &x = inputs[2], &dt = inputs[4], &A = inputs[5], &D = inputs[6];
    const Tensor dt_x = reshape(dt, dt.shape().insert(3, 1)) * x;
    const Recurrence recurrence = gated_linear_recurrence(C, B, dt_x, inputs[3], dt * A);
    return {recurrence.y + reshape(D, {x.dim(2), 1}) * x, recurrence.state};
  }

 protected:
  Terms terms(std::span<const Tensor> inputs) const override {
    return {.log_decay = inputs[4] * inputs[5], .bonus = {}, .step = inputs[4], .skip = inputs[6]};
  }
  Tensors gradients_of_others(std::span<const Tensor> inputs, const Terms& gradients) const override {
    return {gradients.step + gradients.log_decay * inputs[5], sum(sum(gradients.log_decay * inputs[4], 0), 0),
            gradients.skip};
  }
};

void check_inputs(const Tensor& C, const Tensor& B, const Tensor& x, const Tensor& initial, const Tensor& dt,
                  const Tensor& A, const Tensor& D) {
  for (const Tensor* each : {&B, &x, &initial, &dt, &A, &D}) check_same_real(C, *each, "state_space_dual");
  const bool fits = C.rank() == 4 && x.rank() == 4 && B.shape() == C.shape() && x.dim(0) == C.dim(0) &&
                    x.dim(1) == C.dim(1) && C.dim(2) > 0 && x.dim(2) % C.dim(2) == 0 &&
                    initial.shape() == Shape{x.dim(0), x.dim(2), C.dim(3), x.dim(3)} &&
                    dt.shape() == x.shape().remove(3) && A.shape() == Shape{x.dim(2)} && D.shape() == A.shape();
  if (!fits) {
    throw Error(
        "state_space_dual of C {}, B {}, x {}, initial {}, dt {}, A {}, D {}: needs C, B [B,T,G,N], x [B,T,H,P], "
        "initial [B,H,N,P], dt [B,T,H], A, D [H], with G a divisor of H",
        C.shape().str(), B.shape().str(), x.shape().str(), initial.shape().str(), dt.shape().str(), A.shape().str(),
        D.shape().str());
  }
}

}  // namespace

Recurrence state_space_dual(const Tensor& C, const Tensor& B, const Tensor& x, const Tensor& initial, const Tensor& dt,
                            const Tensor& A, const Tensor& D) {
  check_inputs(C, B, x, initial, dt, A, D);
  if (C.dim(1) == 0) return {Tensor::zeros(x.shape(), x.dtype()), initial};
  const Tensor inputs[] = {C, B, x, initial, dt, A, D};
  const Tensors outputs = zoo::apply(std::make_unique<StateSpaceDual>(recurrence_sizes(C, x)), inputs);
  return {outputs[0], outputs[1]};
}

namespace {

struct Sizes {
  std::int64_t B, T, H, groups, N, P;
};

OpCase dual_case(std::string name, const Sizes& n) {
  return {.name = std::move(name),
          .inputs = {{.shape = {n.B, n.T, n.groups, n.N}},
                     {.shape = {n.B, n.T, n.groups, n.N}},
                     {.shape = {n.B, n.T, n.H, n.P}},
                     {.shape = {n.B, n.H, n.N, n.P}},
                     {.shape = {n.B, n.T, n.H}, .kind = InputSpec::Kind::positive},
                     {.shape = {n.H}, .kind = InputSpec::Kind::positive},
                     {.shape = {n.H}}},
          .call = [](std::span<const Tensor> inputs) {
            const Recurrence result =
                state_space_dual(inputs[0], inputs[1], inputs[2], inputs[3], inputs[4] * 0.5, -inputs[5], inputs[6]);
            return Tensors{result.y, result.state};
          }};
}

const OpRegistration registration(
    {.name = "state_space_dual",
     .cases = {dual_case("a group a head", {2, 7, 3, 3, 4, 3}), dual_case("groups", {2, 9, 4, 2, 3, 5}),
               dual_case("one group, several chunks", {1, 71, 2, 1, 3, 2}),
               dual_case("wide heads", {1, 35, 2, 2, 19, 37}), dual_case("two segments", {1, 530, 1, 1, 1, 2}),
               dual_case("one step", {2, 1, 2, 1, 8, 8}), dual_case("no sequences", {0, 3, 2, 2, 4, 4}),
               dual_case("no steps", {2, 0, 2, 2, 4, 4})}});

}  // namespace

}  // namespace zoo::ops
