// The Fourier transforms of the emulated device: Cooley and Tukey's, in float.
#include <cmath>
#include <complex>
#include <limits>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

#include "zoo/gpu/fft.h"
#include "zoo/gpu/host/queues.h"

namespace zoo::gpu {

namespace {

using Complex = std::complex<float>;

// e^(sign 2 pi i k / length) for k below length / 2, each rounded once.
std::vector<Complex> roots_of_one(int length, int sign) {
  std::vector<Complex> roots;
  for (int k = 0; k < length / 2; ++k) roots.emplace_back(std::polar(1.0, sign * 2 * std::numbers::pi * k / length));
  return roots;
}

// x_n in the order in which halves of even and odd n are taken again and again.
void reverse_bits(std::span<Complex> x) {
  for (std::size_t i = 0, reversed = 0; i < x.size(); ++i) {
    if (i < reversed) std::swap(x[i], x[reversed]);
    std::size_t bit = x.size() / 2;
    for (; bit > 0 && (reversed & bit) != 0; bit /= 2) reversed ^= bit;
    reversed |= bit;
  }
}

// Of two transforms of half the size, the whole one, for all parts of the sequence: size after size.
void transform(std::span<Complex> x, std::span<const Complex> roots) {
  reverse_bits(x);
  for (std::size_t size = 2; size <= x.size(); size *= 2) {
    for (std::size_t begin = 0; begin < x.size(); begin += size) {
      for (std::size_t k = 0; k < size / 2; ++k) {
        Complex &even = x[begin + k], &odd = x[begin + k + size / 2];
        const Complex turned = roots[k * (x.size() / size)] * odd;
        odd = even - turned;
        even += turned;
      }
    }
  }
}

std::span<Complex> scratch_of(const FftShape& shape, float* workspace) {
  return {reinterpret_cast<Complex*>(workspace), static_cast<std::size_t>(shape.length)};
}

// As on a GPU, nothing that lay there is to be found again.
void lose(std::span<Complex> scratch) {
  for (Complex& value : scratch) value = std::numeric_limits<float>::quiet_NaN();
}

void forward_row(const FftShape& shape, float* row, std::span<const Complex> roots, std::span<Complex> scratch) {
  for (std::size_t n = 0; n < scratch.size(); ++n) scratch[n] = row[n];
  transform(scratch, roots);
  for (int k = 0; k <= shape.length / 2; ++k) {
    row[2 * k] = scratch[static_cast<std::size_t>(k)].real();
    row[2 * k + 1] = scratch[static_cast<std::size_t>(k)].imag();
  }
}

void inverse_row(const FftShape& shape, float* row, std::span<const Complex> roots, std::span<Complex> scratch) {
  const auto coefficient = [&](int k) { return Complex(row[2 * k], row[2 * k + 1]); };
  for (int k = 0; k < shape.length; ++k) {
    scratch[static_cast<std::size_t>(k)] =
        k <= shape.length / 2 ? coefficient(k) : std::conj(coefficient(shape.length - k));
  }
  transform(scratch, roots);
  for (int n = 0; n < shape.length; ++n) row[n] = scratch[static_cast<std::size_t>(n)].real();
  row[shape.length] = row[shape.length + 1] = std::numeric_limits<float>::quiet_NaN();
}

template <typename Row>
void for_rows_later(const FftShape& shape, int sign, float* rows, float* workspace, Stream& stream, Row transform_row) {
  check_fft(shape);
  host::enqueue(stream, {.run = [=] {
                  const std::vector<Complex> roots = roots_of_one(shape.length, sign);
                  const std::span<Complex> scratch = scratch_of(shape, workspace);
                  for (int row = 0; row < shape.rows; ++row) {
                    transform_row(shape, rows + static_cast<std::ptrdiff_t>(row) * fft_row_floats(shape.length), roots,
                                  scratch);
                  }
                  lose(scratch);
                }});
}

}  // namespace

bool has_fft() {
  return true;
}

std::int64_t fft_workspace(const FftShape& shape) {
  check_fft(shape);
  return 2 * std::int64_t{shape.length};
}

void fft_forward(const FftShape& shape, float* rows, float* workspace, Stream& stream) {
  for_rows_later(shape, -1, rows, workspace, stream, forward_row);
}

void fft_inverse(const FftShape& shape, float* rows, float* workspace, Stream& stream) {
  for_rows_later(shape, 1, rows, workspace, stream, inverse_row);
}

}  // namespace zoo::gpu
