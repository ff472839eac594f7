#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "zoo/nn/parameter.h"

namespace zoo {

/// The first bias of a step size that softplus makes (Gu and Dao 2023, "Mamba", section 3.6, and its released code):
/// what softplus takes to steps log-uniform in [0.001, 0.1], none below 1e-4.
inline Initializer step_size_bias() {
  return Initializer::custom([](std::span<double> values, RandomStream& random) {
    const double low = std::log(0.001), high = std::log(0.1);
    for (double& value : values) {
      const double step = std::max(std::exp(low + (high - low) * random.uniform()), 1e-4);
      value = step + std::log(-std::expm1(-step));
    }
  });
}

}  // namespace zoo
