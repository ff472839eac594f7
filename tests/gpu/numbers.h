#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "zoo/gpu/memory.h"

namespace zoo::gpu {

/// `count` normal deviates.
inline std::vector<float> normal_numbers(std::int64_t count, unsigned seed, float scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> result(static_cast<std::size_t>(count));
  for (float& value : result) value = scale * normal(random);
  return result;
}

/// Root mean square of result - expected, relative to that of expected; NaN where result has one.
inline double relative_error(const std::vector<float>& result, const std::vector<double>& expected) {
  if (result.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double squares = 0;
  double error = 0;
  for (std::size_t i = 0; i < result.size(); ++i) {
    squares += expected[i] * expected[i];
    error += (result[i] - expected[i]) * (result[i] - expected[i]);
  }
  return error == 0 ? 0 : std::sqrt(error / squares);
}

/// The largest relative error of several results, and a line that tells all of them.
class LargestError {
 public:
  void compare(const char* name, const std::vector<float>& result, const std::vector<double>& expected) {
    const double error = relative_error(result, expected);
    text_ += std::string(name) + " " + std::to_string(error * 1e6) + "e-6 ";
    // An error that is NaN is the largest, and stays it.
    if (!std::isnan(value_) && !(error <= value_)) value_ = error;
  }
  double value() const { return value_; }
  const std::string& text() const { return text_; }

 private:
  double value_ = 0;
  std::string text_;
};

}  // namespace zoo::gpu
