#pragma once

#include "zoo/core/error.h"

namespace zoo::gpu {

/// A kernel did what no kernel may: the message names the kernel, the block and the thread where they are known, the
/// place in the source, and on the emulated device the seed that repeats it.
class KernelFault : public Error {
 public:
  using Error::Error;
};

}  // namespace zoo::gpu
