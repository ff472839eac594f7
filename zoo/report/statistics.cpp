#include "zoo/report/statistics.h"

#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <numeric>

namespace zoo::report {

bool Estimate::has_interval() const {
  return !std::isnan(half_width);
}

Estimate estimate(std::span<const double> values) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  if (values.empty()) return {nan, nan, 0};
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  if (values.size() == 1) return {mean, nan, 1};
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const boost::math::students_t distribution(count - 1);
  const double t = boost::math::quantile(boost::math::complement(distribution, 0.025));
  return {mean, t * std::sqrt(squares / (count - 1) / count), static_cast<int>(values.size())};
}

}  // namespace zoo::report
