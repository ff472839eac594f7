#pragma once

#include <bit>
#include <cstdint>

#include "zoo/core/error.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// `rows` real sequences of `length` numbers, a power of two from 2 on. Each is transformed in its place, which is
/// fft_row_floats(length) floats of device memory: the numbers and two floats more, or the length / 2 + 1 complex
/// coefficients that a real sequence has, real part before imaginary part.
struct FftShape {
  int length = 0;
  int rows = 0;
};
constexpr int fft_row_floats(int length) {
  return length + 2;
}

/// False in builds for a GPU without cuFFT, where what follows throws Error.
bool has_fft();
/// Floats of device memory that a transform of this shape needs besides; what lies there is lost.
std::int64_t fft_workspace(const FftShape& shape);
/// X_k = sum_n x_n e^(-2 pi i k n / length) in place of x; the sums' order is the shape's alone, so that it repeats bit
/// for bit. By cuFFT on a GPU; on the emulated device by a transform of our own, whose error is at most 6.7
/// log2(length) 2^-24 of X, root mean square (Higham 2002, "Accuracy and Stability of Numerical Algorithms",
/// theorem 24.2).
void fft_forward(const FftShape& shape, float* rows, float* workspace, Stream& stream);
/// length x_n = sum_k X_k e^(2 pi i k n / length) in place of X, without the factor 1 / length; the two floats behind
/// each row's numbers are lost.
void fft_inverse(const FftShape& shape, float* rows, float* workspace, Stream& stream);

/// Throws Error for a length that is no power of two from 2 on, and for rows below 0.
inline void check_fft(const FftShape& shape) {
  if (shape.length >= 2 && std::has_single_bit(static_cast<unsigned>(shape.length)) && shape.rows >= 0) return;
  throw Error("a Fourier transform of {} rows of {} numbers: the numbers must be a power of two, from 2 on", shape.rows,
              shape.length);
}

}  // namespace zoo::gpu
