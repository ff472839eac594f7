#pragma once

#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// The stream on which all ops of the engine run their kernels, to give it more: the next access of the host to a
/// tensor's elements waits for them.
Stream& engine_stream();

}  // namespace zoo::gpu
