#include <algorithm>
#include <cmath>
#include <optional>

#include "zoo/check/checks.h"
#include "zoo/core/tape.h"
#include "zoo/nn/adamw.h"
#include "zoo/ops/ops.h"

namespace zoo::check {

namespace {

constexpr std::int64_t vocab = 8;
constexpr std::int64_t batch = 8;
constexpr std::int64_t length = 8;
constexpr int steps = 100;
constexpr double learning_rate = 0.02;
// The mean loss of the last steps over ln(vocab), the loss of a model that knows nothing.
constexpr int last_steps = 10;
constexpr double enough = 0.8;

// Each token names itself: head(norm(layer(norm(embedding(token))))), the layer between norms as in a backbone, but
// without a way around it. Layers without memory can do it too.
class CopyModel {
 public:
  explicit CopyModel(const Trial& trial) {
    const Options options(trial.entry->options, trial.layer_case->options, "layer " + trial.entry->name);
    Builder builder(trial.d_model(), options, parameters_);
    builder.max_length = length;
    embedding_ = builder.parameter("check.embedding", {vocab, trial.d_model()}, Initializer::normal(1));
    head_ = builder.parameter("check.head", {vocab, trial.d_model()}, Initializer::normal(1));
    layer_ = trial.entry->make(builder);
    const double unit = 1 / std::sqrt(static_cast<double>(trial.d_model()));
    slab_ = initialize(parameters_, trial.seed, {unit, unit, unit});
    AdamWOptions adamw;
    adamw.weight_decay = 0;
    optimizer_.emplace(parameters_, slab_, adamw);
    for (const Parameter& parameter : parameters_) variables_.push_back(parameter.value());
  }

  double step(const Tensor& tokens, int index) {
    const Context context{.training = true,
                          .progress = static_cast<double>(index) / steps,
                          .random = RandomKey::of(static_cast<std::uint64_t>(index), "check/learning")};
    State state = layer_->initial_state(batch);
    const Tensor x = ops::rms_norm(ops::gather_rows(embedding_, tokens), {}, 1e-6);
    const Tensor y = run(*layer_, x, state, context);
    const Tensor logits = ops::linear(ops::rms_norm(ops::reshape(y, {batch * length, y.dim(2)}), {}, 1e-6), head_);
    const Tensor loss = ops::scale(ops::cross_entropy(logits, tokens.view({batch * length})), 1.0 / (batch * length));
    optimizer_->accumulate(grad(loss, variables_, {.release_tape = true}));
    optimizer_->step(learning_rate);
    return loss.item();
  }

 private:
  Parameters parameters_;
  Parameter embedding_;
  Parameter head_;
  std::unique_ptr<Layer> layer_;
  Tensor slab_;
  std::optional<AdamW> optimizer_;
  Tensors variables_;
};

Tensor draw_tokens(RandomKey key) {
  RandomStream random(key);
  Tensor tokens = Tensor::empty({batch, length}, DType::i32);
  for (std::int64_t i = 0; i < tokens.size(); ++i) {
    tokens.data<std::int32_t>()[i] = static_cast<std::int32_t>(random.below(vocab));
  }
  return tokens;
}

}  // namespace

void check_learning(const Trial& trial, Verdict& verdict) {
  CopyModel model(trial);
  double first = 0, last = 0;
  for (int index = 0; index < steps; ++index) {
    const double loss = model.step(draw_tokens(trial.key("tokens").fold(static_cast<std::uint64_t>(index))), index);
    if (index == 0) first = loss;
    if (index >= steps - last_steps) last += loss / last_steps;
  }
  verdict.compare(last, enough * std::log(static_cast<double>(vocab)),
                  fmt::format("the loss went from {:.3g} to", first));
  verdict.note(fmt::format("the loss went from {:.2f} to {:.2f} in {} steps", first, last, steps));
}

}  // namespace zoo::check
