#pragma once

#include "zoo/core/tensor.h"

namespace zoo::ops {

/// into += term, elementwise, in place and off the tape: for sums of gradients. Shapes and dtypes are equal. Throws
/// Error for whole numbers, which have no gradient.
void accumulate(Tensor& into, const Tensor& term);

}  // namespace zoo::ops
