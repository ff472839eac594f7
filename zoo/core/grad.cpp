#include <algorithm>

#include "zoo/core/error.h"
#include "zoo/core/kept.h"
#include "zoo/core/profile.h"
#include "zoo/core/tape.h"
#include "zoo/ops/accumulate.h"
#include "zoo/ops/ops.h"

namespace zoo {

namespace {

thread_local std::uint64_t last_visit = 0;
thread_local int walks_under_way = 0;

// An op's gradient may ask for another gradient, and so begin a walk within a walk over some of the same nodes. What
// the inner one writes on them is taken back when this ends.
class Overwritten {
 public:
  Overwritten() : within_another_(walks_under_way++ > 0) {}
  ~Overwritten() {
    --walks_under_way;
    for (const Scratch& scratch : scratch_) {
      scratch.node->visit = scratch.visit;
      scratch.node->slot = scratch.slot;
      scratch.node->useful = scratch.useful;
      scratch.node->wanted = scratch.wanted;
    }
  }
  Overwritten(const Overwritten&) = delete;
  Overwritten& operator=(const Overwritten&) = delete;

  void keep(const std::shared_ptr<Node>& node) {
    if (within_another_) scratch_.push_back({node, node->visit, node->slot, node->useful, node->wanted});
  }

 private:
  struct Scratch {
    std::shared_ptr<Node> node;
    std::uint64_t visit;
    std::size_t slot;
    bool useful;
    bool wanted;
  };

  bool within_another_;
  PoolVector<Scratch> scratch_;
};

// One walk down the tape: finds the nodes between outputs and inputs, then runs their gradients in reverse order.
class Walk {
 public:
  Walk(std::span<const Tensor> outputs, std::span<const Tensor> inputs, GradOptions options)
      : options_(options), visit_(++last_visit) {
    oldest_ = ~std::uint64_t{0};
    for (const Tensor& input : inputs) {
      if (!input.requires_grad()) throw Error("a gradient was asked for with respect to a tensor that is off the tape");
      oldest_ = std::min(oldest_, input.node()->number());
    }
    for (const Tensor& output : outputs) {
      if (!output.requires_grad()) throw Error("a gradient was asked for of a tensor that is off the tape");
      reach(output.node());
    }
    for (std::size_t next = 0; next < nodes_.size(); ++next) {
      // A copy of the pointer: reach() below may move the vector's elements.
      const std::shared_ptr<Node> node = nodes_[next];
      if (node->released()) throw Error("the tape was walked a second time after release_tape");
      for (const Tensor& input : node->inputs()) {
        if (input.requires_grad()) reach(input.node());
      }
    }
    std::ranges::sort(nodes_, std::greater{}, [](const auto& node) { return node->number(); });
    mark_useful(inputs);
  }

  // Adds to the gradient of a tensor on the tape.
  void add(const Tensor& tensor, Tensor term) {
    if (!reached(tensor) || !tensor.node()->useful) return;
    if (term.shape() != tensor.shape()) {
      throw Error("a gradient of shape {} for a tensor of shape {}", term.shape().str(), tensor.shape().str());
    }
    Tensor& total = slot(tensor);
    if (!total.defined()) {
      total = std::move(term);
      return;
    }
    const ProfileScope scope("gradient sum", "backward");
    if (!options_.create_graph && total.sole_owner()) {
      ops::accumulate(total, term);
    } else if (!options_.create_graph && term.sole_owner()) {
      ops::accumulate(term, total);
      total = std::move(term);
    } else {
      total = ops::add(total, term);
    }
  }

  void run() {
    PoolVector<std::uint8_t> needed;
    for (std::shared_ptr<Node>& node : nodes_) {
      if (!node->useful || node->op() == nullptr) continue;
      const std::span<Tensor> output_grads(&grads_[node->slot], node->output_types().size());
      if (std::ranges::none_of(output_grads, &Tensor::defined)) continue;
      const auto inputs = node->inputs();
      needed.assign(inputs.size(), 0);
      for (std::size_t i = 0; i < inputs.size(); ++i) needed[i] = reached(inputs[i]) && inputs[i].node()->useful;
      Tensors input_grads = run_op(node, output_grads, needed);
      if (input_grads.size() != inputs.size()) {
        throw Error("op {} returned {} gradients for {} inputs", node->op()->name(), input_grads.size(), inputs.size());
      }
      if (!node->wanted) std::ranges::fill(output_grads, Tensor{});
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        if (needed[i] && input_grads[i].defined()) add(inputs[i], std::move(input_grads[i]));
      }
      if (options_.release_tape) node->release();
    }
  }

  Tensor result(const Tensor& input) { return reached(input) ? slot(input) : Tensor{}; }

 private:
  bool reached(const Tensor& tensor) const { return tensor.requires_grad() && tensor.node()->visit == visit_; }

  Tensor& slot(const Tensor& tensor) {
    return grads_[tensor.node()->slot + static_cast<std::size_t>(tensor.output_index())];
  }

  // A node older than every input cannot depend on one: the walk does not go there. This keeps an inner gradient from
  // walking the whole outer tape.
  void reach(const std::shared_ptr<Node>& node) {
    if (node->visit == visit_ || node->number() < oldest_) return;
    overwritten_.keep(node);
    node->visit = visit_;
    node->slot = grads_.size();
    node->useful = false;
    node->wanted = false;
    grads_.resize(grads_.size() + node->output_types().size());
    nodes_.push_back(node);
  }

  void mark_useful(std::span<const Tensor> inputs) {
    for (const Tensor& input : inputs) {
      if (reached(input)) input.node()->useful = input.node()->wanted = true;
    }
    for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
      for (const Tensor& input : (*node)->inputs()) {
        if (reached(input) && input.node()->useful) (*node)->useful = true;
      }
    }
  }

  Tensors run_op(const std::shared_ptr<Node>& node, std::span<const Tensor> output_grads,
                 std::span<const std::uint8_t> needed) {
    const Tensors inputs = read_kept(node->inputs());
    Tensors outputs = read_kept(node->outputs());
    ProfileScope scope(node->op()->name(), "backward");
    if (!options_.create_graph) {
      const NoTape off;
      Tensors input_grads = node->op()->backward({inputs, outputs, node->output_types(), output_grads, needed});
      scope.moves({inputs, outputs, output_grads}, input_grads);
      return input_grads;
    }
    // The kept outputs go back on the tape, so that a gradient of this gradient flows through them.
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i].defined()) outputs[i] = outputs[i].with_node(node, static_cast<int>(i));
    }
    return node->op()->vjp({inputs, outputs, node->output_types(), output_grads, needed});
  }

  GradOptions options_;
  std::uint64_t visit_;
  std::uint64_t oldest_;
  Overwritten overwritten_;
  PoolVector<std::shared_ptr<Node>> nodes_;
  Tensors grads_;
};

}  // namespace

Tensors grad(std::span<const Tensor> outputs, std::span<const Tensor> inputs, std::span<const Tensor> output_grads,
             GradOptions options) {
  if (!output_grads.empty() && output_grads.size() != outputs.size()) {
    throw Error("grad was given {} outputs and {} output gradients", outputs.size(), output_grads.size());
  }
  Walk walk(outputs, inputs, options);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!output_grads.empty() && output_grads[i].defined()) {
      walk.add(outputs[i], options.create_graph ? output_grads[i] : output_grads[i].detach());
    } else if (outputs[i].size() == 1) {
      walk.add(outputs[i], Tensor::full(outputs[i].shape(), 1, outputs[i].dtype()));
    } else {
      throw Error("the gradient of a tensor of shape {} needs an output gradient", outputs[i].shape().str());
    }
  }
  walk.run();
  Tensors result;
  result.reserve(inputs.size());
  for (const Tensor& input : inputs) result.push_back(walk.result(input));
  return result;
}

Tensors grad(const Tensor& output, std::span<const Tensor> inputs, GradOptions options) {
  return grad(std::span(&output, 1), inputs, {}, options);
}

}  // namespace zoo
