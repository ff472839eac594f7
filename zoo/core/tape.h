#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "zoo/core/tensor.h"

namespace zoo {

/// Shape and dtype of an op's output.
struct OutputType {
  Shape shape;
  DType dtype;
};

/// What the tape keeps of a tensor from an op's execution to its gradient.
enum class Keep : std::uint8_t {
  shape,       ///< shape and dtype, and the place on the tape; its elements are not read
  activation,  ///< its elements too, in Precision::bf16 rounded to bfloat16 (zoo/core/kept.h)
  exact        ///< its elements, never rounded: where a gradient depends on small differences of large numbers
};

/// What an executed op left on the tape, as its gradient sees it.
struct Executed {
  std::span<const Tensor> inputs;   ///< without elements where keeps_input() is Keep::shape
  std::span<const Tensor> outputs;  ///< the same, keeps_output()
  std::span<const OutputType> output_types;
  std::span<const Tensor> output_grads;  ///< undefined where no gradient arrived: it is zero
  std::span<const std::uint8_t> needed;  ///< which inputs want a gradient

  /// Whether input `index` wants a gradient; the result may be left undefined where not.
  bool needs(std::size_t index) const { return needed[index] != 0; }
  /// The gradient of output `index`; zeros where none arrived.
  Tensor output_grad(std::size_t index = 0) const;
};

/// One executed operation: its attributes, its arithmetic and its gradients, side by side. A class per op, in ops/.
class Op {
 public:
  virtual ~Op() = default;
  virtual std::string_view name() const = 0;

  /// The arithmetic: dispatches to the device's kernels. Nothing is recorded meanwhile. Shapes were checked by the
  /// public function that made the op.
  virtual Tensors forward(std::span<const Tensor> inputs) = 0;

  /// Gradients of the inputs (undefined where not needed), written in ops: differentiable again.
  virtual Tensors vjp(const Executed& executed) = 0;

  /// The same for the ordinary pass, which nobody differentiates again: backward kernels where the op has them.
  virtual Tensors backward(const Executed& executed) { return vjp(executed); }

  /// What vjp and backward read of input `index`. Of parameters and other variables all is there in any case.
  virtual Keep keeps_input(std::size_t /*index*/) const { return Keep::activation; }
  /// What they read of output `index`.
  virtual Keep keeps_output(std::size_t /*index*/) const { return Keep::shape; }

  // Ops live in the pool, as tensors do.
  static void* operator new(std::size_t bytes) { return pool_allocate(bytes); }
  static void operator delete(void* block, std::size_t bytes) noexcept { pool_free(block, bytes); }
};

/// An op defined by plain ops (its fallback), with optional kernels: override forward and backward with them; what is
/// not overridden falls back. Its gradient with create_graph is always the fallback's, which reads the elements of all
/// inputs. Tests compare both.
class FusedOp : public Op {
 public:
  /// The definition, in ops. Called with taping on or off.
  virtual Tensors fallback(std::span<const Tensor> inputs) = 0;

  Tensors forward(std::span<const Tensor> inputs) override { return fallback(inputs); }
  Tensors vjp(const Executed& executed) final;
};

/// A place on the tape: an executed op with its inputs, or a variable, which has neither.
class Node {
 public:
  Node(std::unique_ptr<Op> op, std::span<const Tensor> inputs, std::span<const Tensor> outputs);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  static std::shared_ptr<Node> variable(const Shape& shape, DType dtype);

  /// nullptr for a variable.
  Op* op() const { return op_.get(); }
  /// As the tape keeps them (zoo/core/kept.h).
  std::span<const Tensor> inputs() const { return inputs_; }
  std::span<const Tensor> outputs() const { return outputs_; }
  std::span<const OutputType> output_types() const { return output_types_; }
  /// Nodes are numbered in the order of execution, so a node's inputs have smaller numbers.
  std::uint64_t number() const { return number_; }
  bool released() const { return released_; }
  /// Forgets op, inputs and outputs.
  void release();

  // Scratch of the grad() call under way: which call last came here, and where it keeps this node's gradients.
  std::uint64_t visit = 0;
  std::size_t slot = 0;
  bool useful = false;  // whether a gradient has to pass here
  bool wanted = false;  // whether the caller asked for this node's gradient

 private:
  Node() = default;
  std::unique_ptr<Op> op_;
  Tensors inputs_;
  Tensors outputs_;  // off the tape, or undefined
  PoolVector<OutputType> output_types_;
  std::uint64_t number_ = 0;
  bool released_ = false;
};

/// Runs the op and, when an input is on the tape and taping is on, records it. While a UseFallbacks lives, a FusedOp's
/// fallback runs in its place.
Tensors apply(std::unique_ptr<Op> op, std::span<const Tensor> inputs);
/// The same for an op with one output.
Tensor apply_one(std::unique_ptr<Op> op, std::initializer_list<Tensor> inputs);

/// While one lives, on its thread: nothing is recorded.
class NoTape {
 public:
  NoTape();
  ~NoTape();
  NoTape(const NoTape&) = delete;
  NoTape& operator=(const NoTape&) = delete;

 private:
  bool previous_;
};
bool taping();

/// While one lives, on its thread: ops are recorded, within a NoTape too. For a gradient that is part of a forward
/// pass.
class WithTape {
 public:
  WithTape();
  ~WithTape();
  WithTape(const WithTape&) = delete;
  WithTape& operator=(const WithTape&) = delete;

 private:
  bool previous_;
};

/// While one lives, on its thread: fused ops run as their fallbacks. For tests.
class UseFallbacks {
 public:
  UseFallbacks();
  ~UseFallbacks();
  UseFallbacks(const UseFallbacks&) = delete;
  UseFallbacks& operator=(const UseFallbacks&) = delete;

 private:
  bool previous_;
};

struct GradOptions {
  /// Put the gradients themselves on the tape, through vjps written in ops. Otherwise backward kernels are used and the
  /// result is off the tape.
  bool create_graph = false;
  /// Forget each op's inputs and outputs as soon as its gradient is done, so that their memory is reused at once. The
  /// tape below `outputs` cannot be walked again.
  bool release_tape = false;
};

/// Gradients of sum_i <outputs_i, output_grads_i> with respect to `inputs` (tensors on the tape: variables, or results
/// of ops). An undefined output_grad stands for ones and asks for a one-element output. The result has an undefined
/// tensor for an input that the outputs do not depend on. Throws Error when an output is not on the tape.
Tensors grad(std::span<const Tensor> outputs, std::span<const Tensor> inputs, std::span<const Tensor> output_grads = {},
             GradOptions options = {});
/// Of one output with one element.
Tensors grad(const Tensor& output, std::span<const Tensor> inputs, GradOptions options = {});

}  // namespace zoo
