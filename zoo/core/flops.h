#pragma once

#include <cstdint>

namespace zoo {

/// Adds to this thread's count of useful floating-point operations: 2mnk for each product that the definition needs
/// (causal half, rows that are read, no recomputation); elementwise work is not counted. Called by ops, forward and
/// backward, so a layer's FLOPs are counted from what it does, never typed in.
void count_flops(double flops);
/// This thread's count so far.
double flops_counted();

}  // namespace zoo
