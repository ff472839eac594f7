#include "zoo/core/error.h"
#include "zoo/ops/dtypes.h"
#include "zoo/ops/families.h"
#include "zoo/ops/linear_recurrence.h"
#include "zoo/ops/op_cases.h"

namespace zoo::ops {

namespace {

// x [B,T,G,dk] as [B,T,H,dk], each group repeated for its heads.
Tensor by_head(const Tensor& x, std::int64_t heads) {
  const std::int64_t groups = x.dim(2);
  if (groups == heads) return x;
  const Shape repeated{x.dim(0), x.dim(1), groups, heads / groups, x.dim(3)};
  return reshape(broadcast_to(reshape(x, repeated.with(3, 1)), repeated), {x.dim(0), x.dim(1), heads, x.dim(3)});
}

// Step t of x [B,T,H,n] as [B,H,n].
Tensor step(const Tensor& x, std::int64_t t) {
  return reshape(slice(x, 1, t, t + 1), x.shape().remove(1));
}

// Inputs: q, k, v, initial, log decay, bonus or undefined. Outputs: y and the last state.
class GatedLinearRecurrence final : public RecurrenceOp {
 public:
  explicit GatedLinearRecurrence(const cpu::RecurrenceSizes& sizes, const Tensor& log_decay)
      : RecurrenceOp(sizes, log_decay.rank() == 4 ? cpu::RecurrenceDecay::channel_and_step
                                                  : cpu::RecurrenceDecay::head_and_step) {}

  std::string_view name() const override { return "gated_linear_recurrence"; }

  // The definition, step by step.
  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor& v = inputs[2];
    const std::int64_t B = v.dim(0), T = v.dim(1), H = v.dim(2), dv = v.dim(3), dk = inputs[0].dim(3);
    const Tensor q = by_head(inputs[0], H), k = by_head(inputs[1], H);
    const Tensor& log_decay = inputs[4];
    const Tensor a = reshape(exp(log_decay), {B, T, H, log_decay.rank() == 4 ? dk : 1});
    const Tensor& bonus = inputs[5];
    Tensor state = inputs[3];
    Tensors y;
    for (std::int64_t t = 0; t < T; ++t) {
      const Tensor k_t = reshape(step(k, t), {B, H, dk, 1}), v_t = reshape(step(v, t), {B, H, 1, dv});
      const Tensor written = k_t * v_t;
      const Tensor before = state;
      state = state * reshape(step(a, t), {B, H, a.dim(3), 1}) + written;
      const Tensor read = bonus.defined() ? before + reshape(bonus, {H, dk, 1}) * written : state;
      y.push_back(matmul(reshape(step(q, t), {B, H, 1, dk}), read));
    }
    return {permute(concat(y, 2), {0, 2, 1, 3}), state};
  }

 protected:
  Terms terms(std::span<const Tensor> inputs) const override {
    return {.log_decay = inputs[4], .bonus = inputs[5], .step = {}, .skip = {}};
  }
  Tensors gradients_of_others(std::span<const Tensor>, const Terms& gradients) const override {
    return {gradients.log_decay, gradients.bonus};
  }
};

void check_inputs(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& initial, const Tensor& log_decay,
                  const Tensor& bonus) {
  for (const Tensor* each : {&k, &v, &initial, &log_decay}) check_same_real(q, *each, "gated_linear_recurrence");
  const bool fits = q.rank() == 4 && v.rank() == 4 && k.shape() == q.shape() && v.dim(0) == q.dim(0) &&
                    v.dim(1) == q.dim(1) && q.dim(2) > 0 && v.dim(2) % q.dim(2) == 0 &&
                    initial.shape() == Shape{v.dim(0), v.dim(2), q.dim(3), v.dim(3)};
  if (!fits) {
    throw Error(
        "gated_linear_recurrence of q {}, k {}, v {}, initial {}: needs q, k [B,T,G,dk], v [B,T,H,dv], initial "
        "[B,H,dk,dv], with G a divisor of H",
        q.shape().str(), k.shape().str(), v.shape().str(), initial.shape().str());
  }
  const Shape per_head{v.dim(0), v.dim(1), v.dim(2)};
  const Shape per_channel = per_head.insert(3, q.dim(3));
  if (log_decay.shape() != per_channel && (log_decay.shape() != per_head || bonus.defined())) {
    throw Error("gated_linear_recurrence: the log decay is {}, needed is {} (one for each key channel){}",
                log_decay.shape().str(), per_channel.str(),
                bonus.defined() ? ", since there is a bonus" : fmt::format(" or {}", per_head.str()));
  }
  if (!bonus.defined()) return;
  check_same_real(q, bonus, "gated_linear_recurrence");
  if (bonus.shape() != Shape{v.dim(2), q.dim(3)}) {
    throw Error("gated_linear_recurrence: the bonus is {}, needed is [{}, {}]: heads and key channels",
                bonus.shape().str(), v.dim(2), q.dim(3));
  }
}

}  // namespace

Recurrence gated_linear_recurrence(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& initial,
                                   const Tensor& log_decay, const Tensor& bonus) {
  check_inputs(q, k, v, initial, log_decay, bonus);
  if (q.dim(1) == 0) return {Tensor::zeros(v.shape(), v.dtype()), initial};
  const Tensor inputs[] = {q, k, v, initial, log_decay, bonus};
  const Tensors outputs =
      zoo::apply(std::make_unique<GatedLinearRecurrence>(recurrence_sizes(q, v), log_decay), inputs);
  return {outputs[0], outputs[1]};
}

namespace {

enum class Gate { head, channel, channel_with_bonus };

struct Sizes {
  std::int64_t B, T, H, groups, dk, dv;
};

OpCase gated_case(std::string name, const Sizes& n, Gate gate) {
  OpCase result{.name = std::move(name),
                .inputs = {{.shape = {n.B, n.T, n.groups, n.dk}},
                           {.shape = {n.B, n.T, n.groups, n.dk}},
                           {.shape = {n.B, n.T, n.H, n.dv}},
                           {.shape = {n.B, n.H, n.dk, n.dv}},
                           {.shape = {n.B, n.T, n.H}}},
                .call = {}};
  if (gate != Gate::head) result.inputs[4].shape = {n.B, n.T, n.H, n.dk};
  if (gate == Gate::channel_with_bonus) result.inputs.push_back({.shape = {n.H, n.dk}});
  result.call = [](std::span<const Tensor> inputs) {
    const Recurrence recurrence =
        gated_linear_recurrence(inputs[0], inputs[1], inputs[2], inputs[3], log_sigmoid(inputs[4] + 1.0),
                                inputs.size() == 6 ? inputs[5] : Tensor{});
    return Tensors{recurrence.y, recurrence.state};
  };
  return result;
}

const OpRegistration registration(
    {.name = "gated_linear_recurrence",
     .cases = {gated_case("a head's decay", {2, 7, 3, 3, 4, 3}, Gate::head),
               gated_case("groups", {2, 9, 4, 2, 3, 5}, Gate::head),
               gated_case("one group, three chunks", {1, 131, 2, 1, 3, 2}, Gate::head),
               gated_case("wide heads", {1, 35, 2, 2, 19, 37}, Gate::head),
               gated_case("two segments", {1, 530, 1, 1, 1, 2}, Gate::head),
               gated_case("one step", {2, 1, 2, 1, 8, 8}, Gate::head),
               gated_case("a channel's decay", {2, 7, 2, 2, 5, 3}, Gate::channel),
               gated_case("a channel's decay, several chunks", {1, 53, 2, 2, 3, 4}, Gate::channel),
               gated_case("a channel's decay, two segments", {1, 280, 1, 1, 2, 1}, Gate::channel),
               gated_case("a channel's decay, wide heads", {1, 18, 2, 2, 37, 19}, Gate::channel),
               gated_case("a channel's decay, groups", {2, 17, 4, 2, 3, 5}, Gate::channel),
               gated_case("a channel's decay, one step", {2, 1, 3, 3, 8, 8}, Gate::channel),
               gated_case("bonus", {2, 7, 2, 2, 5, 3}, Gate::channel_with_bonus),
               gated_case("bonus, several chunks", {1, 53, 2, 2, 3, 4}, Gate::channel_with_bonus),
               gated_case("bonus, one step", {2, 1, 2, 2, 4, 4}, Gate::channel_with_bonus),
               gated_case("bonus, groups", {1, 20, 4, 2, 17, 3}, Gate::channel_with_bonus),
               gated_case("no sequences", {0, 3, 2, 2, 4, 4}, Gate::head),
               gated_case("no steps", {2, 0, 2, 2, 4, 4}, Gate::channel)}});

}  // namespace

}  // namespace zoo::ops
