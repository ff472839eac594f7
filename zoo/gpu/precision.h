#pragma once

namespace zoo::gpu {

/// How products of floats are computed on the tensor cores; sums are in float.
enum class Precision {
  float32,  ///< as split TF32: relative errors near float32's
  tf32,     ///< operands rounded to 10 bits of mantissa
  bf16      ///< operands rounded to 7
};

}  // namespace zoo::gpu
