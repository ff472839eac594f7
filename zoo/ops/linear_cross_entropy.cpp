#include <algorithm>

#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/cpu/cross_entropy.h"
#include "zoo/gpu/broadcast.h"
#include "zoo/gpu/cross_entropy.h"
#include "zoo/gpu/reductions.h"
#include "zoo/ops/head.h"
#include "zoo/ops/multiply.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

// Logits of this many rows are formed at a time: 8 MiB of float32, which the last-level cache holds between the
// product, the softmax and the two products of the gradient. Of a large vocabulary more: each block reads and writes
// the whole gradient of the weight, which must have enough rows to be worth that.
std::int64_t block_rows(std::int64_t vocab) {
  return std::clamp<std::int64_t>((std::int64_t{1} << 21) / std::max<std::int64_t>(vocab, 1), 256, 1024);
}

// One block of the head: logits = hidden weight^T + bias for rows [first, first + rows).
template <typename T>
struct Block {
  std::int64_t first;
  std::int64_t rows;
  T* logits;
};

// Calls visit(Block) for all rows in order.
template <typename At, typename Visit>
void for_each_block(const At& at, const Tensor& hidden, const Tensor& weight, const Tensor& bias, const Visit& visit) {
  const std::int64_t width = hidden.dim(1);
  const std::int64_t vocab = weight.dim(0);
  const std::int64_t most = std::min(block_rows(vocab), hidden.dim(0));
  Tensor logits = Tensor::empty({most, vocab}, hidden.dtype());
  for (std::int64_t first = 0; first < hidden.dim(0); first += most) {
    const std::int64_t rows = std::min(most, hidden.dim(0) - first);
    multiply(at, {.m = rows, .n = vocab, .k = width, .transpose_b = true, .bias = bias.defined()},
             at(hidden) + first * width, at(weight), at.if_defined(bias), at(logits));
    visit(Block<typename At::Real>{first, rows, at(logits)});
  }
}

template <typename At, typename T>
void cross_entropy_of(const At& at, const cpu::CrossEntropyRows<T>& rows) {
  if constexpr (At::gpu) {
    gpu::cross_entropy(rows, at.stream());
  } else {
    cpu::cross_entropy(rows);
  }
}

// sums [vocab] += the block's logits, or are them for the first block.
template <typename At, typename T>
void add_columns(const At& at, const Block<T>& block, std::int64_t vocab, Tensor& sums) {
  if constexpr (At::gpu) {
    const cpu::AxisExtents extents{1, block.rows, vocab};
    Tensor scratch = Tensor::empty({gpu::sum_scratch(extents)});
    Tensor of_block = Tensor::empty(sums.shape());
    gpu::sum(extents, block.logits, at(of_block), at(scratch), at.stream());
    gpu::accumulate(at(sums), at(of_block), vocab, at.stream());
  } else {
    T* into = at(sums);
    for (std::int64_t row = 0; row < block.rows; ++row) {
      for (std::int64_t i = 0; i < vocab; ++i) into[i] += block.logits[row * vocab + i];
    }
  }
}

double head_flops(const Tensor& hidden, const Tensor& weight) {
  return 2.0 * static_cast<double>(hidden.dim(0)) * static_cast<double>(weight.size());
}

// Cross-entropy of a linear head. The gradients of hidden, weight and bias for a unit output gradient are made in the
// forward pass, while each block's softmax is at hand: the logits are formed once and never kept.
class LinearCrossEntropy final : public FusedOp {
 public:
  // `wanted`: which of hidden, weight, bias will be asked for a gradient.
  explicit LinearCrossEntropy(std::array<bool, 3> wanted) : wanted_(wanted) {}
  std::string_view name() const override { return "linear_cross_entropy"; }

  // inputs: hidden, labels, weight, [bias]
  Tensors fallback(std::span<const Tensor> inputs) override {
    return {cross_entropy(linear(inputs[0], inputs[2], inputs.size() == 4 ? inputs[3] : Tensor{}), inputs[1])};
  }

  Tensors forward(std::span<const Tensor> inputs) override {
    return dispatch(inputs[0].dtype(), name(), [&](auto at) { return run(at, inputs); });
  }

  Tensors backward(const Executed& executed) override {
    const Tensor factor = executed.output_grad();
    count_flops(head_flops(executed.inputs[0], executed.inputs[2]) * (wanted_[0] + wanted_[1]));
    Tensors grads(executed.inputs.size());
    if (executed.needs(0)) grads[0] = mul(hidden_grad_, factor);
    if (executed.needs(2)) grads[2] = mul(weight_grad_, factor);
    if (grads.size() == 4 && executed.needs(3)) grads[3] = mul(bias_grad_, factor);
    return grads;
  }

 private:
  template <typename At>
  Tensors run(const At& at, std::span<const Tensor> inputs) {
    using T = typename At::Real;
    const Tensor& hidden = inputs[0];
    const Tensor& weight = inputs[2];
    const Tensor bias = inputs.size() == 4 ? inputs[3] : Tensor{};
    const std::int32_t* labels = at.template of<std::int32_t>(inputs[1]);
    const std::int64_t width = hidden.dim(1);
    const std::int64_t vocab = weight.dim(0);
    const bool differentiate = wanted_[0] || wanted_[1] || wanted_[2];
    if (wanted_[0]) hidden_grad_ = Tensor::empty(hidden.shape(), hidden.dtype());
    if (wanted_[1]) weight_grad_ = Tensor::zeros(weight.shape(), weight.dtype());
    if (wanted_[2]) bias_grad_ = Tensor::zeros(bias.shape(), bias.dtype());
    Tensor losses = Tensor::empty({hidden.dim(0)}, DType::f64);
    for_each_block(at, hidden, weight, bias, [&](const Block<T>& block) {
      cross_entropy_of(at, cpu::CrossEntropyRows<T>{.logits = block.logits,
                                                    .labels = labels + block.first,
                                                    .rows = block.rows,
                                                    .vocab = vocab,
                                                    .losses = at.template into<double>(losses) + block.first,
                                                    .gradient = differentiate ? block.logits : nullptr});
      if (wanted_[0]) {
        multiply(at, {.m = block.rows, .n = width, .k = vocab}, block.logits, at(weight), nullptr,
                 at(hidden_grad_) + block.first * width);
      }
      if (wanted_[1]) {
        multiply(at, {.m = vocab, .n = width, .k = block.rows, .transpose_a = true, .accumulate = block.first > 0},
                 block.logits, at(hidden) + block.first * width, nullptr, at(weight_grad_));
      }
      if (wanted_[2]) add_columns(at, block, vocab, bias_grad_);
    });
    count_flops(head_flops(hidden, weight));
    return {total(losses, hidden.dtype())};
  }

  std::array<bool, 3> wanted_;
  Tensor hidden_grad_;
  Tensor weight_grad_;
  Tensor bias_grad_;
};

void check(const Tensor& hidden, const Tensor& weight, const Tensor& bias, const Tensor& labels) {
  if (hidden.rank() != 2 || weight.rank() != 2 || hidden.dim(1) != weight.dim(1) ||
      (bias.defined() && bias.shape() != Shape{weight.dim(0)})) {
    throw Error("a head takes hidden [R, D], weight [V, D] and bias [V]; it was given {}, {} and {}",
                hidden.shape().str(), weight.shape().str(), bias.defined() ? bias.shape().str() : "no bias");
  }
  check_labels(labels, hidden.dim(0), weight.dim(0));
}

template <typename At>
HeadScores scores(const At& at, const Tensor& hidden, const Tensor& weight, const Tensor& bias, const Tensor& labels) {
  using T = typename At::Real;
  Tensor losses = Tensor::empty({hidden.dim(0)}, DType::f64);
  Tensor predictions = Tensor::empty({hidden.dim(0)}, DType::i32);
  for_each_block(at, hidden, weight, bias, [&](const Block<T>& block) {
    cross_entropy_of(at,
                     cpu::CrossEntropyRows<T>{.logits = block.logits,
                                              .labels = at.template of<std::int32_t>(labels) + block.first,
                                              .rows = block.rows,
                                              .vocab = weight.dim(0),
                                              .losses = at.template into<double>(losses) + block.first,
                                              .largest = at.template into<std::int32_t>(predictions) + block.first});
  });
  const auto each_loss = losses.values<double>();
  const auto each_prediction = predictions.values<std::int32_t>();
  return {.losses = {each_loss.begin(), each_loss.end()},
          .predictions = {each_prediction.begin(), each_prediction.end()}};
}

}  // namespace

Tensor linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& bias, const Tensor& labels) {
  check(hidden, weight, bias, labels);
  const bool tape = taping();
  auto op = std::make_unique<LinearCrossEntropy>(std::array{
      tape && hidden.requires_grad(), tape && weight.requires_grad(), tape && bias.defined() && bias.requires_grad()});
  return bias.defined() ? apply_one(std::move(op), {hidden, labels, weight, bias})
                        : apply_one(std::move(op), {hidden, labels, weight});
}

HeadScores score_head(const Tensor& hidden, const Tensor& weight, const Tensor& bias, const Tensor& labels) {
  check(hidden, weight, bias, labels);
  return dispatch(hidden.dtype(), "score_head", [&](auto at) { return scores(at, hidden, weight, bias, labels); });
}

namespace {

OpCase head_case(std::string name, std::int64_t rows, std::int64_t width, std::int64_t vocab, bool bias) {
  OpCase result{.name = std::move(name),
                .inputs = {{.shape = {rows, width}},
                           {.shape = {vocab, width}},
                           {.shape = {rows}, .kind = InputSpec::Kind::index, .bound = vocab}},
                .call = {}};
  if (bias) result.inputs.push_back({.shape = {vocab}});
  result.call = [](std::span<const Tensor> inputs) {
    return Tensors{linear_cross_entropy(inputs[0], inputs[1], inputs.size() == 4 ? inputs[3] : Tensor{}, inputs[2])};
  };
  return result;
}

// Sums of 70,000 terms, one after the other: roundings grow as the root of their number.
OpCase long_head_case() {
  OpCase result = head_case("several blocks", 40, 2, 70000, false);
  result.tolerance = 8;
  return result;
}

const OpRegistration registration({.name = "linear_cross_entropy",
                                   .cases = {head_case("plain", 5, 4, 16, false),
                                             head_case("with a bias", 7, 3, 11, true), long_head_case(),
                                             head_case("no rows", 0, 4, 5, false)}});

}  // namespace

}  // namespace zoo::ops
