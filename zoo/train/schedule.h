#pragma once

#include <cmath>
#include <numbers>

namespace zoo {

/// Half a cosine from `first` (done = 0) to `last` (done = 1) (Loshchilov and Hutter 2017, "SGDR").
inline double cosine_between(double first, double last, double done) {
  return last + (first - last) * (1 + std::cos(std::numbers::pi * done)) / 2;
}

}  // namespace zoo
