#pragma once

#include <span>

#include "zoo/core/tape.h"

/// In which form the tape keeps tensors between the forward and the backward pass: as they are, but for activations in
/// Precision::bf16, which are rounded to bfloat16. The forward pass reads what was not rounded; what the backward pass
/// reads is the same whichever of the op's inputs and outputs it is. (Activations kept in fewer bits than the forward
/// pass computes with: Chakrabarti and Moseley 2019, "Backprop with approximate activations for memory-efficient
/// network training".)
namespace zoo {

/// Activations of fewer elements are kept as they are: what they would save is not worth a kernel's launch.
inline constexpr std::int64_t fewest_rounded = 256;

/// An op's input, for the tape. Parameters and other variables, and what is off the tape, are kept as they are.
Tensor kept_input(const Tensor& input, Keep keep);
/// An op's output, for the tape.
Tensor kept_output(const Tensor& output, Keep keep);
/// What was kept, in the dtype that it had, with its places on the tape.
Tensors read_kept(std::span<const Tensor> kept);

}  // namespace zoo
