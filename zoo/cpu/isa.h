#pragma once

#include <string>

namespace zoo {

/// The instruction set that the kernels use: "sse4", "avx2" or "avx512". It is the best that the machine has, unless
/// the environment variable ZOO_ISA names a lower one, which then holds for oneDNN too. ZOO_ISA is read once, when the
/// library is loaded. Throws UsageError when ZOO_ISA is none of the three, or one that the machine lacks: programs call
/// this first thing.
std::string isa_name();

}  // namespace zoo
