#pragma once

#include "zoo/core/precision.h"

namespace zoo::gpu {

/// On the tensor cores float32 is split TF32 (zoo/gpu/tile.h).
using zoo::Precision;

}  // namespace zoo::gpu
