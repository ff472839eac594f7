#pragma once

#include <functional>

#include "zoo/core/tensor.h"

namespace zoo {

/// f(x), of which the tape keeps only x and the result: what f computes in between is computed again when its gradient
/// is (Chen et al. 2016, "Training deep nets with sublinear memory cost"). f must give the same bits for the same x
/// whenever it is called, and may read other tensors, whose gradients arrive as if f had been called plainly. Without
/// taping it is called plainly. The second computation is not counted as FLOPs.
Tensor recompute(std::function<Tensor(const Tensor&)> f, const Tensor& x);

}  // namespace zoo
