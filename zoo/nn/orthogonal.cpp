#include "zoo/nn/orthogonal.h"

#include <cmath>

namespace zoo {

namespace {

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

Initializer orthogonal(std::int64_t rows, std::int64_t columns, double gain) {
  return Initializer::custom([=](std::span<double> values, RandomStream& random) {
    const auto count = static_cast<std::size_t>(std::min(rows, columns));
    const auto length = static_cast<std::size_t>(std::max(rows, columns));
    // Normal deviates have no preferred direction, so neither has the basis that Gram and Schmidt make of them. Taking
    // out what lies along the earlier vectors twice keeps it orthogonal to rounding.
    std::vector<double> basis(count * length);
    for (std::size_t i = 0; i < count; ++i) {
      const std::span<double> vector(basis.data() + i * length, length);
      for (double& value : vector) value = random.normal();
      for (int pass = 0; pass < 2; ++pass) {
        for (std::size_t j = 0; j < i; ++j) {
          const std::span<const double> earlier(basis.data() + j * length, length);
          const double along = dot(vector, earlier);
          for (std::size_t c = 0; c < length; ++c) vector[c] -= along * earlier[c];
        }
      }
      const double norm = std::sqrt(dot(vector, vector));
      for (double& value : vector) value *= 1 / norm;
    }
    const bool tall = rows > columns;
    const auto width = static_cast<std::size_t>(columns);
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t c = 0; c < length; ++c) {
        values[tall ? c * width + i : i * width + c] = gain * basis[i * length + c];
      }
    }
  });
}

}  // namespace zoo
