#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "zoo/check/answer.h"
#include "zoo/check/checks.h"
#include "zoo/core/tape.h"

namespace zoo::check {

namespace {

// Two chunks, so that gradients pass through the state between them; the edge of a mini-batch of 16 lies in the second.
const std::vector<std::int64_t> two_chunks = {11, 9};
constexpr std::int64_t length = 20;

// Steps of the differences, relative to the point. The formula's own error is of order step^4, rounding's of order
// epsilon / step: all of these leave both far below the tolerance for a smooth function. Where a kink (relu, max) lies
// within a step, a smaller one misses it, so one agreement is enough: a wrong gradient agrees with none. A point that
// has a kink within the smallest step (once in a thousand, for a layer with thousands of kinks) is drawn again.
constexpr double steps[] = {1e-3, 1e-4, 1e-5, 1e-6};
// Of the gradient's length times the direction's.
constexpr double tolerance = 1e-7;
// The second derivative's differences are of gradients, whose fifth derivatives are larger.
constexpr double second_order_tolerance = 1e-6;
constexpr std::uint64_t directions = 2;
constexpr std::uint64_t points = 3;

double dot(const Tensor& a, const Tensor& b) {
  double total = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) total += a.data<double>()[i] * b.data<double>()[i];
  return total;
}

double norm(const Tensor& a) {
  return std::sqrt(dot(a, a));
}

// The input and the parameters of a layer in float64, as one list of tensors that can be moved.
class Point {
 public:
  Point(const Trial& trial, std::string_view purpose, std::uint64_t draw)
      : subject_(trial, {.dtype = DType::f64, .draw = draw}),
        x_(draw_normal(trial.key(purpose).fold(draw), {2, length, trial.d_model()}, DType::f64)),
        weights_(trial.input("weights", 2, length, DType::f64)) {}

  std::size_t count() const { return subject_.parameters().size() + 1; }
  const Subject& subject() const { return subject_; }
  std::string name(std::size_t index) const {
    return index == 0 ? "the input" : subject_.parameters()[index - 1].spec().name;
  }
  /// Tensor 0 is the input.
  Tensor values(std::size_t index) const { return index == 0 ? x_ : subject_.parameters()[index - 1].value().detach(); }
  const Tensor& weights() const { return weights_; }

  Answer answer_now(bool gradients) const {
    return answer(subject_, x_, weights_, {.chunks = two_chunks, .gradients = gradients, .context = context()});
  }
  /// Training, so that dropout is differentiated too; its mask depends on the key alone.
  static Context context() { return {.training = true, .progress = 0.5, .random = {12345}}; }

  /// Gradients in the order of the tensors.
  Tensors gradients() const {
    const Answer all = answer_now(true);
    Tensors result;
    for (const Part& part : all.parts) {
      if (part.kind == Part::Kind::gradient) result.push_back(part.values);
    }
    return result;
  }

  /// (f(+step) - f(-step)) to fourth order, along `direction` in tensor `index`.
  double slope(std::size_t index, const Tensor& direction, double step, const std::function<double()>& f) {
    const auto at = [&](double distance) {
      move(index, direction, distance);
      const double value = f();
      restore(index);
      return value;
    };
    return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
  }

 private:
  void move(std::size_t index, const Tensor& direction, double distance) {
    const Tensor target = values(index);
    kept_ = target.clone();
    auto* value = static_cast<double*>(target.raw());
    for (std::int64_t i = 0; i < direction.size(); ++i) value[i] += distance * direction.data<double>()[i];
  }
  void restore(std::size_t index) {
    const Tensor target = values(index);
    std::copy_n(kept_.data<double>(), kept_.size(), static_cast<double*>(target.raw()));
  }

  Subject subject_;
  Tensor x_;
  Tensor weights_;
  Tensor kept_;
};

// As long as the point, half random and half along the gradient: a purely random direction is nearly orthogonal to it.
// Along or against it, whichever the random half is nearer to, so that the halves never cancel (of one value they
// could).
Tensor direction_of(const Tensor& point, const Tensor& gradient, RandomKey key) {
  Tensor direction = draw_normal(key, point.shape(), DType::f64);
  const double random_length = norm(direction), gradient_length = norm(gradient), point_length = norm(point);
  const double sign = dot(direction, gradient) < 0 ? -1 : 1;
  double* values = direction.data<double>();
  for (std::int64_t i = 0; i < direction.size(); ++i) {
    values[i] /= random_length;
    if (gradient_length > 0) values[i] += sign * gradient.data<double>()[i] / gradient_length;
  }
  const double factor = (point_length > 0 ? point_length : 1) / norm(direction);
  for (std::int64_t i = 0; i < direction.size(); ++i) values[i] *= factor;
  return direction;
}

// Compares the slope along a direction with the one by gradient, over all steps.
void compare_slopes(Verdict& verdict, Point& point, std::size_t index, const Tensor& gradient, const Tensor& direction,
                    double relative, double size_of_f, const std::function<double()>& f) {
  const double expected = dot(gradient, direction);
  double best_error = std::numeric_limits<double>::infinity(), best_slope = best_error;
  for (const double step : steps) {
    const double slope = point.slope(index, direction, step, f);
    // f is a sum of terms of total size size_of_f, each the result of some hundred roundings.
    const double rounding = 100 * std::numeric_limits<double>::epsilon() * size_of_f / step;
    const double error = std::abs(slope - expected) / (norm(gradient) * norm(direction) + rounding / relative);
    if (error < best_error) {
      best_error = error;
      best_slope = slope;
    }
    if (error <= relative) break;
  }
  verdict.compare(best_error, relative,
                  fmt::format("{}: the slope is {:.9g}, the gradient says {:.9g}; relative error", point.name(index),
                              best_slope, expected));
}

double absolute_sum(const Tensor& y, const Tensor& weights) {
  double total = 0;
  for (std::int64_t i = 0; i < y.size(); ++i) total += std::abs(y.data<double>()[i] * weights.data<double>()[i]);
  return total;
}

// Second derivatives of the weighted sum, times `tangents`, by the tape: H u.
Tensors hessian_times(const Point& point, const Tensors& tangents) {
  const Subject& subject = point.subject();
  State state = subject.layer().initial_state(2);
  Tensors chunks, outputs, weights;
  std::int64_t begin = 0;
  for (const std::int64_t size : two_chunks) {
    chunks.push_back(positions(point.values(0), begin, begin + size).variable());
    outputs.push_back(run(subject.layer(), chunks.back(), state, Point::context()));
    weights.push_back(positions(point.weights(), begin, begin + size));
    begin += size;
  }
  Tensors wanted = chunks;
  for (const Tensor& variable : subject.variables()) wanted.push_back(variable);
  const Tensors gradients = grad(outputs, wanted, weights, {.create_graph = true});

  // Gradients that depend on nothing (of a linear layer) have no second derivative.
  Tensors curved, curved_tangents;
  begin = 0;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    Tensor tangent;
    if (i < chunks.size()) {
      tangent = positions(tangents[0], begin, begin + chunks[i].dim(1));
      begin += chunks[i].dim(1);
    } else {
      tangent = tangents[i - chunks.size() + 1];
    }
    if (!gradients[i].defined() || !gradients[i].requires_grad()) continue;
    curved.push_back(gradients[i]);
    curved_tangents.push_back(std::move(tangent));
  }
  Tensors second(wanted.size());
  if (!curved.empty()) second = grad(curved, wanted, curved_tangents);
  for (std::size_t i = 0; i < second.size(); ++i) {
    if (!second[i].defined()) second[i] = Tensor::zeros(wanted[i].shape(), DType::f64);
  }
  Tensors result{join_positions(std::span(second).first(chunks.size()))};
  for (std::size_t i = chunks.size(); i < second.size(); ++i) result.push_back(second[i].detach());
  return result;
}

void compare_first_order(Verdict& verdict, const Trial& trial, std::uint64_t draw) {
  Point point(trial, "gradient", draw);
  const Tensors gradients = point.gradients();
  const auto f = [&] { return dot(point.answer_now(false).output(), point.weights()); };
  const double size = absolute_sum(point.answer_now(false).output(), point.weights());
  for (std::size_t i = 0; i < point.count(); ++i) {
    for (std::uint64_t along = 0; along < directions; ++along) {
      const RandomKey key = trial.key("direction").fold(i).fold(along);
      compare_slopes(verdict, point, i, gradients[i], direction_of(point.values(i), gradients[i], key), tolerance, size,
                     f);
    }
  }
}

void compare_second_order(Verdict& verdict, const Trial& trial, std::uint64_t draw) {
  Point point(trial, "second_order", draw);
  Tensors tangents;
  for (std::size_t i = 0; i < point.count(); ++i) {
    tangents.push_back(draw_normal(trial.key("tangent").fold(i), point.values(i).shape(), DType::f64));
  }
  const Tensors second = hessian_times(point, tangents);
  const auto f = [&] {
    const Tensors gradients = point.gradients();
    double total = 0;
    for (std::size_t i = 0; i < gradients.size(); ++i) total += dot(gradients[i], tangents[i]);
    return total;
  };
  double size = 0;
  const Tensors gradients = point.gradients();
  for (std::size_t i = 0; i < gradients.size(); ++i) size += absolute_sum(gradients[i], tangents[i]);
  for (std::size_t i = 0; i < point.count(); ++i) {
    const RandomKey key = trial.key("second direction").fold(i);
    compare_slopes(verdict, point, i, second[i], direction_of(point.values(i), second[i], key), second_order_tolerance,
                   size, f);
  }
}

// Compares at one point, or, where that fails, at another.
template <typename Compare>
void compare_at_points(Verdict& verdict, const Trial& trial, const Compare& compare_at) {
  for (std::uint64_t draw = 0; draw < points; ++draw) {
    verdict = Verdict();
    compare_at(verdict, trial, draw);
    if (verdict.outcome() == Outcome::passed) return;
  }
}

}  // namespace

void check_gradient(const Trial& trial, Verdict& verdict) {
  compare_at_points(verdict, trial, compare_first_order);
}

void check_second_order(const Trial& trial, Verdict& verdict) {
  compare_at_points(verdict, trial, compare_second_order);
}

void check_backward(const Trial& trial, Verdict& verdict) {
  const Tensor x = trial.input("backward", 2, usual_length, DType::f64);
  const Tensor weights = trial.input("weights", 2, usual_length, DType::f64);
  const Subject subject(trial, {.dtype = DType::f64});
  for (const std::vector<std::int64_t>& chunks : {std::vector<std::int64_t>{}, {20, usual_length - 20}}) {
    Pass pass{.chunks = chunks};
    const Rounding rounding(trial, {}, x, weights, pass);
    pass.create_graph = true;
    compare(verdict, answer(subject, x, weights, pass), rounding.reference(), rounding, DType::f64,
            chunks.empty() ? "in one chunk" : "in two chunks");
  }
}

}  // namespace zoo::check
