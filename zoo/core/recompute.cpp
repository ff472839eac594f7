#include "zoo/core/recompute.h"

#include <set>
#include <utility>

#include "zoo/core/flops.h"
#include "zoo/core/tape.h"

namespace zoo {

namespace {

using Function = std::function<Tensor(const Tensor&)>;

// inputs: x, then the variables that f reads.
class Recompute final : public Op {
 public:
  Recompute(Function f, Tensor result) : f_(std::move(f)), result_(std::move(result)) {}
  std::string_view name() const override { return "recompute"; }

  Tensors forward(std::span<const Tensor>) override { return {std::exchange(result_, {})}; }

  Tensors backward(const Executed& executed) override {
    return gradients(executed, executed.inputs[0].detach().variable(), {});
  }

  Tensors vjp(const Executed& executed) override {
    // An x that is off the tape has no gradient of its own, but f's walk needs a place to begin.
    const Tensor& x = executed.inputs[0];
    return gradients(executed, x.requires_grad() ? x : x.variable(), {.create_graph = true});
  }

 private:
  Tensors gradients(const Executed& executed, const Tensor& x, GradOptions options) {
    const WithTape on;
    const double flops = flops_counted();
    const Tensor y = f_(x);
    count_flops(flops - flops_counted());
    Tensors wanted{x};
    wanted.insert(wanted.end(), executed.inputs.begin() + 1, executed.inputs.end());
    const Tensor dy = executed.output_grad();
    return grad(std::span(&y, 1), wanted, std::span(&dy, 1), options);
  }

  Function f_;
  Tensor result_;  // until forward hands it out
};

// The variables that `y` was computed from, but for `x`, each once.
Tensors variables_of(const Tensor& y, const Tensor& x) {
  Tensors variables;
  Tensors pending{y};
  std::set<const Node*> seen{x.node().get(), y.node().get()};
  while (!pending.empty()) {
    const Tensor tensor = std::move(pending.back());
    pending.pop_back();
    if (tensor.node()->op() == nullptr) variables.push_back(tensor);
    for (const Tensor& input : tensor.node()->inputs()) {
      if (input.requires_grad() && seen.insert(input.node().get()).second) pending.push_back(input);
    }
  }
  return variables;
}

}  // namespace

Tensor recompute(Function f, const Tensor& x) {
  if (!taping()) return f(x);
  Tensors inputs{x};
  Tensor result;
  {
    const Tensor entry = x.detach().variable();
    const Tensor y = f(entry);
    if (!y.requires_grad()) return y;
    const Tensors variables = variables_of(y, entry);
    inputs.insert(inputs.end(), variables.begin(), variables.end());
    result = y.detach();
  }
  return zoo::apply(std::make_unique<Recompute>(std::move(f), std::move(result)), inputs)[0];
}

}  // namespace zoo
