#pragma once

#include <cstdint>

namespace zoo::cpu {

/// C = A B (or C += A B), `batch` times, row-major: A [m,k], B [k,n], C [m,n], each behind the other.
struct MatmulShape {
  std::int64_t batch = 1;
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  bool transpose_a = false;  ///< A is stored [k,m]
  bool transpose_b = false;  ///< B is stored [n,k]
  bool bias = false;         ///< add bias [n] to each row
  bool accumulate = false;   ///< add to what C holds

  bool operator==(const MatmulShape&) const = default;
};

/// float32 by oneDNN, with primitives and their memory objects cached by shape for each thread: creating one costs more
/// than most products. `bias` may be nullptr when the shape has none. A product may differ in its last bits between
/// thread counts and instruction sets.
void matmul(const MatmulShape& shape, const float* a, const float* b, const float* bias, float* c);
/// float64, which oneDNN does not have: a blocked loop of our own, for tests.
void matmul(const MatmulShape& shape, const double* a, const double* b, const double* bias, double* c);

}  // namespace zoo::cpu
