#pragma once

#include <cstdint>

#include "zoo/nn/parameter.h"

namespace zoo {

/// A matrix [rows, columns], row-major, with orthonormal rows (or columns, where there are more rows than columns)
/// times `gain`, drawn uniformly among those (Saxe et al. 2013).
Initializer orthogonal(std::int64_t rows, std::int64_t columns, double gain = 1);

}  // namespace zoo
