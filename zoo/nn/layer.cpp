#include "zoo/nn/layer.h"

#include "zoo/core/error.h"
#include "zoo/ops/ops.h"

namespace zoo {

namespace {

constexpr std::string_view history = "history";

}  // namespace

const Tensor& State::get(std::string_view name) const {
  for (const auto& [known, tensor] : entries_) {
    if (known == name) return tensor;
  }
  throw Error("the state has no tensor '{}': it belongs to another layer", name);
}

bool State::has(std::string_view name) const {
  return std::ranges::any_of(entries_, [&](const auto& entry) { return entry.first == name; });
}

void State::set(std::string_view name, Tensor value) {
  for (auto& [known, tensor] : entries_) {
    if (known == name) {
      tensor = std::move(value);
      return;
    }
  }
  entries_.emplace_back(name, std::move(value));
}

std::int64_t State::bytes() const {
  std::int64_t total = 0;
  for (const auto& [name, tensor] : entries_) total += static_cast<std::int64_t>(tensor.bytes());
  return total;
}

Parameter Builder::parameter(std::string_view name, const Shape& shape, Initializer initializer, Training training) {
  Parameter parameter({.name = prefix_ + std::string(name),
                       .shape = shape,
                       .initializer = std::move(initializer),
                       .decay = training.decay,
                       .learning_rate_factor = training.learning_rate_factor});
  parameters_->push_back(parameter);
  return parameter;
}

State Layer::initial_state(std::int64_t) const {
  return {};
}

Tensor HistoryLayer::forward(const Tensor& x, State& state, const Context& context) {
  Tensor sequence = state.has(history) ? ops::concat({state.get(history), x}, 1) : x;
  const Tensor y = forward_sequence(sequence, context);
  const std::int64_t length = sequence.dim(1);
  state.set(history, std::move(sequence));
  return ops::slice(y, 1, length - x.dim(1), length);
}

Tensor run(Layer& layer, const Tensor& x, State& state, const Context& context) {
  if (x.rank() != 3 || x.dim(1) < 1) {
    throw Error("a layer takes x of shape [B, T, d_model] with T at least 1, it was given {}", x.shape().str());
  }
  for (const auto& [name, tensor] : state.entries()) {
    if (tensor.rank() > 0 && tensor.dim(0) != x.dim(0)) {
      throw Error("the state '{}' is of {} sequences and x {} of {}: begin with initial_state({})", name, tensor.dim(0),
                  x.shape().str(), x.dim(0), x.dim(0));
    }
  }
  const bool gather = context.rows != nullptr && !layer.reads_rows();
  Context own = context;
  if (gather) own.rows = nullptr;
  Tensor y = layer.forward(x, state, own);
  state.position += x.dim(1);
  const std::int64_t d_model = x.dim(2);
  const Shape expected = own.rows != nullptr ? Shape{own.rows->count(), d_model} : x.shape();
  if (y.shape() != expected) {
    throw Error("a layer returned {} where {} was expected", y.shape().str(), expected.str());
  }
  return gather ? ops::gather_rows(ops::reshape(y, {-1, d_model}), context.rows->indices) : y;
}

}  // namespace zoo
