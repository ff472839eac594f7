#pragma once

#include <span>

namespace zoo::report {

/// A mean and its 95% interval, of values that differ by their seed only.
struct Estimate {
  double mean = 0;        ///< NaN of no values
  double half_width = 0;  ///< mean +- this is the interval; NaN for fewer than two values, which tell nothing of it
  int count = 0;          ///< values

  bool has_interval() const;
};

/// The mean and Student's t-interval: half_width = t(0.975, n-1) s / sqrt(n), with the sample's standard deviation s.
Estimate estimate(std::span<const double> values);

}  // namespace zoo::report
