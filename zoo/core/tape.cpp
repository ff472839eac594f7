#include "zoo/core/tape.h"

#include <algorithm>
#include <utility>

#include "zoo/core/error.h"
#include "zoo/core/kept.h"
#include "zoo/core/profile.h"

namespace zoo {

namespace {

thread_local bool taping_now = true;
thread_local bool fallbacks_only = false;
thread_local std::uint64_t last_number = 0;

// Sets a flag for a scope.
class Flag {
 public:
  Flag(bool& flag, bool value) : flag_(flag), previous_(std::exchange(flag, value)) {}
  ~Flag() { flag_ = previous_; }
  Flag(const Flag&) = delete;
  Flag& operator=(const Flag&) = delete;

 private:
  bool& flag_;
  bool previous_;
};

// The identity, as a boundary that a gradient's walk stops at while the tape goes on through it.
class Alias final : public Op {
 public:
  std::string_view name() const override { return "alias"; }
  Tensors forward(std::span<const Tensor> inputs) override { return {inputs[0].detach()}; }
  Tensors vjp(const Executed& executed) override { return {executed.output_grads[0]}; }
  Keep keeps_input(std::size_t) const override { return Keep::shape; }
};

// Destroying a node destroys its inputs' nodes, and so on down a tape as long as the sequence: the chain is unrolled
// here, since a recursion that deep would overflow the stack.
class Graveyard {
 public:
  void bury(Tensors& tensors) {
    for (Tensor& tensor : tensors) {
      if (tensor.requires_grad()) pending_.push_back(std::move(tensor));
    }
    tensors.clear();
    if (digging_) return;
    const Flag digging(digging_, true);
    while (!pending_.empty()) {
      const Tensor last = std::move(pending_.back());
      pending_.pop_back();
    }
  }

 private:
  Tensors pending_;
  bool digging_ = false;
};

thread_local Graveyard graveyard;

}  // namespace

Tensor Executed::output_grad(std::size_t index) const {
  if (output_grads[index].defined()) return output_grads[index];
  return Tensor::zeros(output_types[index].shape, output_types[index].dtype);
}

Node::Node(std::unique_ptr<Op> op, std::span<const Tensor> inputs, std::span<const Tensor> outputs)
    : op_(std::move(op)), number_(++last_number) {
  inputs_.reserve(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) inputs_.push_back(kept_input(inputs[i], op_->keeps_input(i)));
  output_types_.reserve(outputs.size());
  outputs_.reserve(outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    output_types_.push_back({outputs[i].shape(), outputs[i].dtype()});
    outputs_.push_back(kept_output(outputs[i].detach(), op_->keeps_output(i)));
  }
}

Node::~Node() {
  release();
}

std::shared_ptr<Node> Node::variable(const Shape& shape, DType dtype) {
  auto node = pool_shared<Node>(nullptr, std::span<const Tensor>{}, std::span<const Tensor>{});
  node->output_types_.push_back({shape, dtype});
  return node;
}

void Node::release() {
  released_ = op_ != nullptr;
  op_.reset();
  outputs_.clear();
  graveyard.bury(inputs_);
}

Tensors FusedOp::vjp(const Executed& executed) {
  const bool create_graph = taping();
  const Flag tape_on(taping_now, true);
  Tensors inputs;
  Tensors wanted;
  inputs.reserve(executed.inputs.size());
  for (std::size_t i = 0; i < executed.inputs.size(); ++i) {
    const Tensor& input = executed.inputs[i];
    if (!input.defined() || !executed.needs(i)) {
      // Off the tape for the inner gradient; a second differentiation still has to see it.
      inputs.push_back(create_graph ? input : (input.defined() ? input.detach() : input));
      continue;
    }
    inputs.push_back(create_graph ? apply_one(std::make_unique<Alias>(), {input}) : input.variable());
    wanted.push_back(inputs.back());
  }
  const Tensors outputs = fallback(inputs);
  // Only outputs that lie on the tape and received a gradient take part.
  Tensors reached;
  Tensors reached_grads;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i].requires_grad() || !executed.output_grads[i].defined()) continue;
    reached.push_back(outputs[i]);
    reached_grads.push_back(executed.output_grads[i]);
  }
  Tensors result(executed.inputs.size());
  if (reached.empty()) return result;
  const Tensors grads = grad(reached, wanted, reached_grads, {.create_graph = create_graph});
  std::size_t next = 0;
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (executed.inputs[i].defined() && executed.needs(i)) result[i] = grads[next++];
  }
  return result;
}

Tensors apply(std::unique_ptr<Op> op, std::span<const Tensor> inputs) {
  if (fallbacks_only) {
    if (auto* fused = dynamic_cast<FusedOp*>(op.get())) return fused->fallback(inputs);
  }
  Tensors outputs;
  {
    const NoTape off;
    ProfileScope scope(op->name(), "forward");
    outputs = op->forward(inputs);
    scope.moves({inputs}, outputs);
  }
  if (!taping_now || std::ranges::none_of(inputs, &Tensor::requires_grad)) return outputs;
  const auto node = pool_shared<Node>(std::move(op), inputs, std::span<const Tensor>(outputs));
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    // Whole numbers (an argmax beside a maximum) have no gradient.
    if (outputs[i].dtype() != DType::i32) outputs[i] = outputs[i].with_node(node, static_cast<int>(i));
  }
  return outputs;
}

Tensor apply_one(std::unique_ptr<Op> op, std::initializer_list<Tensor> inputs) {
  return apply(std::move(op), std::span<const Tensor>(inputs.begin(), inputs.size()))[0];
}

NoTape::NoTape() : previous_(std::exchange(taping_now, false)) {}
NoTape::~NoTape() {
  taping_now = previous_;
}

bool taping() {
  return taping_now;
}

WithTape::WithTape() : previous_(std::exchange(taping_now, true)) {}
WithTape::~WithTape() {
  taping_now = previous_;
}

UseFallbacks::UseFallbacks() : previous_(std::exchange(fallbacks_only, true)) {}
UseFallbacks::~UseFallbacks() {
  fallbacks_only = previous_;
}

}  // namespace zoo
