#include "zoo/nn/head.h"

#include <cmath>

#include "zoo/core/error.h"

namespace zoo {

namespace {

constexpr int decoder_layers = 2;

// sin and cos of t / 10000^(2i/D) in alternation (Vaswani et al. 2017, section 3.5): [T,D].
Tensor sinusoids(std::int64_t length, std::int64_t width, DType dtype) {
  std::vector<double> values;
  values.reserve(static_cast<std::size_t>(length * width));
  for (std::int64_t t = 0; t < length; ++t) {
    for (std::int64_t channel = 0; channel < width; ++channel) {
      const double power = static_cast<double>(channel / 2 * 2) / static_cast<double>(width);
      const double angle = static_cast<double>(t) * std::pow(10000.0, -power);
      values.push_back(channel % 2 == 0 ? std::sin(angle) : std::cos(angle));
    }
  }
  if (dtype == DType::f64) return Tensor::from<double>({length, width}, values);
  const std::vector<float> single(values.begin(), values.end());
  return Tensor::from<float>({length, width}, single);
}

}  // namespace

Head::Head(Builder& builder, const HeadSpec& spec, const Parameter& embedding, bool tied) : spec_(spec) {
  const std::int64_t width = builder.d_model();
  if (spec.outputs < 1)
    throw UsageError("a {} head has {} outputs; it needs at least 1", head_kind_name(spec.kind), spec.outputs);
  switch (spec.kind) {
    case HeadKind::language_model:
      weight_ = tied ? embedding : builder.parameter("head.weight", {spec.outputs, width}, Initializer::embedding());
      return;
    case HeadKind::decoder:
      for (int layer = 0; layer < decoder_layers; ++layer) {
        norms_.emplace_back(builder, fmt::format("decoder.norms.{}", layer), 1e-5);
        projections_.emplace_back(builder, fmt::format("decoder.projections.{}", layer), width, width,
                                  Linear::Settings{.bias = true});
      }
      norms_.emplace_back(builder, fmt::format("decoder.norms.{}", decoder_layers), 1e-5);
      break;
    case HeadKind::pair:
      projections_.emplace_back(builder, "head.projections.0", 4 * width, 4 * width, Linear::Settings{.bias = true});
      projections_.emplace_back(builder, "head.projections.1", 4 * width, 2 * width, Linear::Settings{.bias = true});
      break;
    case HeadKind::classes:
    case HeadKind::regression:
      break;
  }
  const std::int64_t inputs = spec.kind == HeadKind::pair ? 2 * width : width;
  weight_ = builder.parameter("head.weight", {spec.outputs, inputs}, Initializer::linear_weight());
  bias_ = builder.parameter("head.bias", {spec.outputs}, Initializer::constant(0));
}

Tensor Head::read(const Tensor& hidden, const Answers& answers) const {
  if (spec_.kind == HeadKind::decoder) return read_sequence(hidden, answers);
  return spec_.kind == HeadKind::pair ? read_pair(hidden) : hidden;
}

Tensor Head::read_pair(const Tensor& hidden) const {
  const Tensor pairs = ops::reshape(hidden, {hidden.dim(0) / 2, 2, hidden.dim(1)});
  const auto one = [&](std::int64_t which) {
    return ops::reshape(ops::slice(pairs, 1, which, which + 1), {pairs.dim(0), pairs.dim(2)});
  };
  const Tensor a = one(0), b = one(1);
  Tensor x = ops::concat({a, b, a * b, a - b}, 1);
  for (const Linear& projection : projections_) x = ops::relu(projection(x));
  return x;
}

Tensor Head::read_sequence(const Tensor& hidden, const Answers& answers) const {
  const std::int64_t sequences = hidden.dim(0);
  const std::int64_t width = hidden.dim(1);
  const std::int64_t length = answers.labels.size() / sequences;
  Tensor x = ops::reshape(hidden, {sequences, 1, width}) + sinusoids(length, width, hidden.dtype());
  for (std::size_t layer = 0; layer < projections_.size(); ++layer) {
    x = ops::gelu_tanh(projections_[layer](norms_[layer](x)));
  }
  return ops::reshape(norms_.back()(x), {sequences * length, width});
}

Tensor Head::loss(const Tensor& hidden, const Answers& answers) const {
  const Tensor x = read(hidden, answers);
  if (spec_.kind == HeadKind::regression) {
    const Tensor said = ops::reshape(ops::linear(x, weight_, bias()), {x.dim(0)});
    return ops::sum(ops::square(said - answers.targets));
  }
  return ops::linear_cross_entropy(x, weight_, bias(), answers.labels);
}

Head::Scores Head::score(const Tensor& hidden, const Answers& answers) const {
  const NoTape off;
  const Tensor x = read(hidden, answers);
  Scores scores;
  if (spec_.kind == HeadKind::regression) {
    const Tensor errors = ops::reshape(ops::linear(x, weight_, bias()), {x.dim(0)}) - answers.targets;
    for (std::int64_t i = 0; i < errors.size(); ++i) {
      const double error = errors.dtype() == DType::f64 ? errors.data<double>()[i] : double{errors.data<float>()[i]};
      scores.losses.push_back(error * error);
      scores.right.push_back(std::abs(error) < regression_tolerance ? 1 : 0);
    }
    return scores;
  }
  const ops::HeadScores answered = ops::score_head(x, weight_, bias(), answers.labels);
  for (std::size_t i = 0; i < answered.losses.size(); ++i) {
    scores.losses.push_back(answered.losses[i]);
    scores.right.push_back(answered.predictions[i] == answers.labels.data<std::int32_t>()[i] ? 1 : 0);
  }
  return scores;
}

}  // namespace zoo
