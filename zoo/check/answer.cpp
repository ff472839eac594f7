#include "zoo/check/answer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "zoo/core/error.h"
#include "zoo/core/tape.h"

namespace zoo::check {

namespace {

Rows rows_of(const std::vector<std::int32_t>& indices, std::int64_t batch, std::int64_t length) {
  Rows rows;
  rows.indices = Tensor::from<std::int32_t>({static_cast<std::int64_t>(indices.size())}, indices);
  rows.offsets = Tensor::zeros({batch + 1}, DType::i32);
  for (const std::int32_t row : indices) {
    for (std::int64_t b = row / length; b < batch; ++b) ++rows.offsets.data<std::int32_t>()[b + 1];
  }
  return rows;
}

// Weights for the rows alone: [R,D] of w [B,T,D].
Tensor take_rows(const Tensor& w, const std::vector<std::int32_t>& rows) {
  return take(w.view({w.dim(0) * w.dim(1), w.dim(2)}), rows);
}

// w where a row is read, else 0.
Tensor keep_rows(const Tensor& w, const std::vector<std::int32_t>& rows) {
  Tensor result = Tensor::zeros(w.shape(), w.dtype());
  const std::size_t width = w.bytes() / static_cast<std::size_t>(w.dim(0) * w.dim(1));
  for (const std::int32_t row : rows) {
    const auto at = width * static_cast<std::size_t>(row);
    std::copy_n(static_cast<const std::byte*>(w.raw()) + at, width, static_cast<std::byte*>(result.raw()) + at);
  }
  return result;
}

// Runs the chunks and collects outputs and gradients.
class Walkthrough {
 public:
  Walkthrough(const Subject& subject, const Tensor& x, const Tensor& weights, const Pass& pass)
      : subject_(subject), pass_(pass), state_(subject.layer().initial_state(x.dim(0))) {
    std::vector<std::int64_t> lengths = pass.chunks;
    if (lengths.empty()) lengths.push_back(x.dim(1));
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const std::int64_t end = begin + lengths[i];
      step(positions(x, begin, end), positions(weights, begin, end), i + 1 == lengths.size());
      begin = end;
    }
  }

  Answer answer() const {
    Answer result;
    const auto add = [&](Part::Kind kind, std::string name, const Tensor& values) {
      result.parts.push_back({kind, std::move(name), values.detach().to(DType::f64)});
    };
    const bool rows = pass_.rows != nullptr;
    add(Part::Kind::output, "the output", rows ? outputs_.back() : join_positions(outputs_));
    for (const auto& [name, tensor] : state_.entries()) add(Part::Kind::state, "state " + name, tensor);
    if (!pass_.gradients) return result;
    const Tensors gradients = this->gradients();
    const std::span all(gradients);
    add(Part::Kind::gradient, std::string(input_gradient), join_positions(all.first(inputs_.size())));
    for (std::size_t i = 0; i < subject_.parameters().size(); ++i) {
      add(Part::Kind::gradient, "the gradient of " + subject_.parameters()[i].spec().name, all[inputs_.size() + i]);
    }
    return result;
  }

 private:
  void step(const Tensor& x, const Tensor& weights, bool last) {
    inputs_.push_back(pass_.gradients ? x.variable() : x);
    Context context = pass_.context;
    Rows rows;
    const bool read_rows = last && pass_.rows != nullptr;
    if (read_rows && !pass_.pick_rows) {
      rows = rows_of(*pass_.rows, x.dim(0), x.dim(1));
      context.rows = &rows;
    }
    Tensor y = run(subject_.layer(), inputs_.back(), state_, context);
    if (y.dtype() != subject_.dtype()) {
      throw Error("the layer's parameters are {} and its output {}", dtype_name(subject_.dtype()),
                  dtype_name(y.dtype()));
    }
    if (pass_.gradients && !y.requires_grad())
      throw Error("the layer's output is off the tape: nothing can be learned");
    on_tape_.push_back(y);
    if (!read_rows) {
      weights_.push_back(weights);
    } else {
      weights_.push_back(pass_.pick_rows ? keep_rows(weights, *pass_.rows) : take_rows(weights, *pass_.rows));
    }
    outputs_.push_back(read_rows && pass_.pick_rows ? take_rows(y.detach(), *pass_.rows) : y.detach());
  }

  Tensors gradients() const {
    Tensors wanted = inputs_;
    for (const Parameter& parameter : subject_.parameters()) wanted.push_back(parameter.value());
    Tensors result = grad(on_tape_, wanted, weights_, {.create_graph = pass_.create_graph});
    for (std::size_t i = 0; i < result.size(); ++i) {
      if (!result[i].defined()) result[i] = Tensor::zeros(wanted[i].shape(), wanted[i].dtype());
    }
    return result;
  }

  const Subject& subject_;
  const Pass& pass_;
  State state_;
  Tensors inputs_;
  Tensors on_tape_;
  Tensors weights_;
  Tensors outputs_;
};

// Every value times 1 + delta or 1 - delta, each with probability 1/2.
void perturb(Tensor& values, RandomKey key, double delta) {
  RandomStream random(key);
  for (std::int64_t i = 0; i < values.size(); ++i) {
    values.data<double>()[i] *= random.next_u32() % 2 == 0 ? 1 + delta : 1 - delta;
  }
}

// The longest sum: over the positions and sequences of a batch, or over channels.
double longest_sum(const Tensor& x) {
  return static_cast<double>(std::max(x.dim(0) * x.dim(1), 4 * x.dim(2)));
}

}  // namespace

const Part& Answer::part(std::string_view name) const {
  const auto at = std::ranges::find_if(parts, [&](const Part& part) { return part.name == name; });
  if (at == parts.end()) throw Error("the answer has no part '{}'", name);
  return *at;
}

Answer answer(const Subject& subject, const Tensor& x, const Tensor& weights, const Pass& pass) {
  std::optional<UseFallbacks> fallbacks;
  std::optional<NoTape> off;
  if (pass.fallbacks) fallbacks.emplace();
  if (!pass.gradients) off.emplace();
  return Walkthrough(subject, x, weights, pass).answer();
}

double rms(const Tensor& values) {
  double total = 0;
  for (const double value : values.values<double>()) total += value * value;
  return values.size() == 0 ? 0 : std::sqrt(total / static_cast<double>(values.size()));
}

double rms_difference(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return std::numeric_limits<double>::infinity();
  double total = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const double difference = a.data<double>()[i] - b.data<double>()[i];
    total += difference * difference;
  }
  return a.size() == 0 ? 0 : std::sqrt(total / static_cast<double>(a.size()));
}

Rounding::Rounding(const Trial& trial, SubjectSettings settings, const Tensor& x, const Tensor& weights,
                   const Pass& pass)
    : roundings_(4 * std::sqrt(longest_sum(x))) {
  constexpr double delta = 0x1p-30;
  constexpr std::uint64_t draws = 2;
  settings.dtype = DType::f64;
  Tensor exact_x = x.to(DType::f64);
  const Tensor exact_weights = weights.to(DType::f64);
  reference_ = answer(Subject(trial, settings), exact_x, exact_weights, pass);

  double largest_gradient = 0;
  for (const Part& part : reference_.parts) {
    size_.push_back(rms(part.values));
    if (part.kind == Part::Kind::gradient) largest_gradient = std::max(largest_gradient, size_.back());
  }
  for (std::size_t i = 0; i < size_.size(); ++i) {
    if (reference_.parts[i].kind == Part::Kind::gradient) size_[i] = largest_gradient;
  }

  sensitivity_.assign(size_.size(), 0);
  for (std::uint64_t draw = 0; draw < draws; ++draw) {
    Subject changed(trial, settings);
    Tensor changed_x = exact_x.clone();
    perturb(changed.slab(), trial.key("perturb/parameters").fold(draw), delta);
    perturb(changed_x, trial.key("perturb/input").fold(draw), delta);
    const Answer moved = answer(changed, changed_x, exact_weights, pass);
    for (std::size_t i = 0; i < size_.size(); ++i) {
      const double change = rms_difference(moved.parts.at(i).values, reference_.parts[i].values);
      sensitivity_[i] = std::max(sensitivity_[i], change / delta);
    }
  }
}

double Rounding::bound(std::size_t part, DType dtype) const {
  const double epsilon =
      dtype == DType::f64 ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
  return roundings_ * epsilon * (size_.at(part) + sensitivity_.at(part));
}

void compare(Verdict& verdict, const Answer& one, const Answer& other, const Rounding& rounding, DType dtype,
             const std::string& what) {
  const auto names = [](const Answer& answer) {
    std::string all;
    for (const Part& part : answer.parts) all += (all.empty() ? "" : ", ") + part.name;
    return all;
  };
  if (one.parts.size() != other.parts.size() || one.parts.size() != rounding.reference().parts.size()) {
    verdict.require(false, fmt::format("{}: {} against {}", what, names(one), names(other)));
    return;
  }
  for (std::size_t i = 0; i < one.parts.size(); ++i) {
    const Part& a = one.parts[i];
    const Part& b = other.parts[i];
    if (a.name != b.name || a.values.shape() != b.values.shape()) {
      verdict.require(false, fmt::format("{}: {} {} against {} {}", what, a.name, a.values.shape().str(), b.name,
                                         b.values.shape().str()));
      continue;
    }
    const double unit = unit_of(rms(a.values));
    verdict.compare(rms_difference(a.values, b.values) / unit, rounding.bound(i, dtype) / unit,
                    fmt::format("{}, {}: relative difference", what, a.name));
  }
}

}  // namespace zoo::check
