#include "zoo/gpu/fft.h"

#include <complex>
#include <numbers>

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

using testing::HasSubstr;

constexpr int rows = 3;
constexpr int lengths[] = {2, 4, 8, 64, 1024};

// Rows of random numbers, each with two floats behind them that are not of the sequence.
std::vector<float> random_rows(int length) {
  std::vector<float> values = normal_numbers(std::int64_t{rows} * fft_row_floats(length), 1);
  for (int row = 0; row < rows; ++row) {
    for (int i = length; i < fft_row_floats(length); ++i) values[row * fft_row_floats(length) + i] = NAN;
  }
  return values;
}

std::vector<double> plain_coefficients(int length, const std::vector<float>& values) {
  std::vector<double> result;
  for (int row = 0; row < rows; ++row) {
    for (int k = 0; k <= length / 2; ++k) {
      std::complex<double> sum = 0;
      for (int n = 0; n < length; ++n) {
        // The angle of k n modulo the length, which double holds exactly.
        const double angle = -2 * std::numbers::pi * (std::int64_t{k} * n % length) / length;
        sum += double{values[row * fft_row_floats(length) + n]} * std::polar(1.0, angle);
      }
      result.push_back(sum.real());
      result.push_back(sum.imag());
    }
  }
  return result;
}

template <typename Transform>
std::vector<float> transformed(const FftShape& shape, const std::vector<float>& values, const Transform& transform) {
  Stream stream;
  DeviceBuffer<float> buffer = to_device(std::span(values), stream);
  DeviceBuffer<float> workspace(static_cast<std::size_t>(fft_workspace(shape)));
  transform(shape, buffer.data(), workspace.data(), stream);
  return to_host(buffer, stream);
}

// By Higham's theorem 24.2, as the header says.
double bound(int length) {
  return 6.7 * std::log2(length) * std::ldexp(1.0, -24);
}

TEST(Fft, IsTheDefinition) {
  for (const int length : lengths) {
    const std::vector<float> values = random_rows(length);
    const std::vector<float> result = transformed({length, rows}, values, fft_forward);
    EXPECT_LT(relative_error(result, plain_coefficients(length, values)), bound(length)) << length;
  }
}

TEST(Fft, AndBackGivesTheNumbersTimesTheirCount) {
  for (const int length : lengths) {
    const std::vector<float> values = random_rows(length);
    const std::vector<float> back =
        transformed({length, rows}, transformed({length, rows}, values, fft_forward), fft_inverse);
    std::vector<float> numbers;
    std::vector<double> expected;
    for (int row = 0; row < rows; ++row) {
      for (int n = 0; n < length; ++n) {
        numbers.push_back(back[row * fft_row_floats(length) + n]);
        expected.push_back(double{values[row * fft_row_floats(length) + n]} * length);
      }
    }
    EXPECT_LT(relative_error(numbers, expected), 2 * bound(length)) << length;
  }
}

TEST(Fft, TakesPowersOfTwo) {
  Stream stream;
  for (const int length : {-2, 0, 1, 6, 1023}) {
    EXPECT_THAT(error_of([&] {
                  fft_forward({length, 1}, nullptr, nullptr, stream);
                }),
                HasSubstr("must be a power of two"))
        << length;
  }
}

}  // namespace
}  // namespace zoo::gpu
