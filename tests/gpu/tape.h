#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace zoo::gpu {

/// A number in double whose derivatives are asked for: definitions written with it give gradients by the chain rule,
/// operation by operation, so that a test need not derive a second time what kernels derive.
class Number {
 public:
  Number(double value = 0) : value_(value) {}  // NOLINT(google-explicit-constructor): constants of formulas

  /// A number that gradients are by; `derivatives` has its place under its index.
  static Number variable(double value) { return {value, add({-1, 0, -1, 0})}; }
  double value() const { return value_; }
  std::int32_t index() const { return index_; }

  friend Number operator+(const Number& a, const Number& b) { return join(a.value_ + b.value_, a, 1, b, 1); }
  friend Number operator-(const Number& a, const Number& b) { return join(a.value_ - b.value_, a, 1, b, -1); }
  friend Number operator*(const Number& a, const Number& b) {
    return join(a.value_ * b.value_, a, b.value_, b, a.value_);
  }
  friend Number operator/(const Number& a, const Number& b) {
    return join(a.value_ / b.value_, a, 1 / b.value_, b, -a.value_ / (b.value_ * b.value_));
  }
  friend Number sqrt(const Number& a) {
    const double root = std::sqrt(a.value_);
    return join(root, a, 0.5 / root, {}, 0);
  }
  friend Number exp(const Number& a) {
    const double power = std::exp(a.value_);
    return join(power, a, power, {}, 0);
  }
  Number& operator+=(const Number& other) { return *this = *this + other; }

  /// Of a number by all others; by variable x under x.index().
  static std::vector<double> derivatives(const Number& of) {
    std::vector<double> result(tape().size());
    if (of.index_ >= 0) result[static_cast<std::size_t>(of.index_)] = 1;
    for (std::size_t i = tape().size(); i-- > 0;) {
      const Step& step = tape()[i];
      if (step.a >= 0) result[static_cast<std::size_t>(step.a)] += step.by_a * result[i];
      if (step.b >= 0) result[static_cast<std::size_t>(step.b)] += step.by_b * result[i];
    }
    return result;
  }
  /// Forgets all numbers made so far.
  static void forget() { tape().clear(); }

 private:
  struct Step {
    std::int32_t a;
    double by_a;
    std::int32_t b;
    double by_b;
  };

  Number(double value, std::int32_t index) : value_(value), index_(index) {}
  static Number join(double value, const Number& a, double by_a, const Number& b, double by_b) {
    if (a.index_ < 0 && b.index_ < 0) return value;
    return {value, add({a.index_, by_a, b.index_, by_b})};
  }
  static std::int32_t add(const Step& step) {
    tape().push_back(step);
    return static_cast<std::int32_t>(tape().size()) - 1;
  }
  static std::vector<Step>& tape() {
    static std::vector<Step> steps;
    return steps;
  }

  double value_;
  std::int32_t index_ = -1;  // on the tape; -1: a constant
};

/// Variables of these values.
inline std::vector<Number> variables(std::span<const float> values) {
  std::vector<Number> result;
  result.reserve(values.size());
  for (const float value : values) result.push_back(Number::variable(value));
  return result;
}
inline std::vector<double> values_of(const std::vector<Number>& numbers) {
  std::vector<double> result;
  result.reserve(numbers.size());
  for (const Number& number : numbers) result.push_back(number.value());
  return result;
}
/// The derivatives by these variables.
inline std::vector<double> by(const std::vector<Number>& variables, const std::vector<double>& derivatives) {
  std::vector<double> result;
  result.reserve(variables.size());
  for (const Number& variable : variables) result.push_back(derivatives[static_cast<std::size_t>(variable.index())]);
  return result;
}
/// sum of weights times numbers.
inline Number weighted_sum(const std::vector<Number>& numbers, std::span<const float> weights) {
  Number result;
  for (std::size_t i = 0; i < numbers.size(); ++i) result += numbers[i] * Number(weights[i]);
  return result;
}

}  // namespace zoo::gpu
