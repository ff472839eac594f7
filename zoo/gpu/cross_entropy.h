#pragma once

#include "zoo/cpu/cross_entropy.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// What zoo/cpu/cross_entropy.h computes of the logits of labelled rows; all pointers are to device memory, and labels
/// must be in [0, vocab). Throws Error for sizes below 0 or beyond 2147483647.
void cross_entropy(const cpu::CrossEntropyRows<float>& task, Stream& stream);

}  // namespace zoo::gpu
