#pragma once

#include <cstdint>
#include <string_view>

namespace zoo {

/// How the operands of products are rounded on the device gpu. The products themselves are exact and their sums are in
/// float32, as are parameters, gradients, the activations of the forward pass and all that is no product of matrices.
enum class Precision : std::uint8_t {
  float32,  ///< not at all (the kernels' tiles keep 21 of 24 bits: relative errors near float32's)
  tf32,     ///< to TF32: 10 bits of mantissa, float32's range
  bf16      ///< to bfloat16: 7 bits of mantissa, float32's range; what waits for the backward pass too (kept.h)
};

/// "float32", "tf32" or "bf16", as users name them.
std::string_view precision_name(Precision precision);
/// Throws UsageError for anything else, naming those there are.
Precision parse_precision(std::string_view text);
/// The precision that an option of this name was given; throws UsageError, with the option's name, also where the
/// process's device cannot compute with it.
Precision read_precision(std::string_view option, std::string_view text);
/// What a run's record says: "f32", as it always did, "tf32" or "bf16".
std::string_view recorded_precision(Precision precision);
/// Throws UsageError for anything else.
Precision parse_recorded_precision(std::string_view text);
/// Throws UsageError, saying what to do, where the process's device cannot compute with this precision: the CPU has
/// float32 alone.
void require_precision(Precision precision);

/// The precision of products of this thread: float32, or what the innermost WithPrecision says.
Precision product_precision();

/// While one lives, this thread's products are of this precision.
class WithPrecision {
 public:
  /// Throws as require_precision.
  explicit WithPrecision(Precision precision);
  ~WithPrecision();
  WithPrecision(const WithPrecision&) = delete;
  WithPrecision& operator=(const WithPrecision&) = delete;

 private:
  Precision outer_;
};

}  // namespace zoo
