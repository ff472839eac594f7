#pragma once

#include "zoo/core/tensor.h"

namespace zoo::cpu {

/// into += term, elementwise, in place. Shapes and dtypes are equal.
void accumulate(Tensor& into, const Tensor& term);

}  // namespace zoo::cpu
