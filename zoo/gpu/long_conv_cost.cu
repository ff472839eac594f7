// What the two ways to compute a long convolution cost, and which one is taken.
#include <algorithm>

#include "zoo/gpu/fft.h"
#include "zoo/gpu/long_conv_fft.h"

namespace zoo::gpu {

namespace {

constexpr double flops_a_byte = 20;                       // of an H100
constexpr std::int64_t one_pass = std::int64_t{1} << 14;  // numbers of a row that a transform reads and writes once

// The smallest power of two from 2T - 1 on.
std::int64_t padded(std::int64_t length) {
  std::int64_t result = 2;
  while (result < 2 * length - 1) result *= 2;
  return result;
}

double log2_of(std::int64_t power_of_two) {
  double result = 0;
  for (; power_of_two > 1; power_of_two /= 2) ++result;
  return result;
}

}  // namespace

LongConvCost long_conv_definition_cost(const cpu::LongConvSizes& sizes) {
  const auto T = static_cast<double>(sizes.length), C = static_cast<double>(sizes.channels);
  const auto B = static_cast<double>(sizes.batch);
  return {.flops = B * C * T * (T + 1), .bytes = sizeof(float) * C * (2 * B * T + T)};
}

LongConvCost long_conv_fft_cost(const cpu::LongConvSizes& sizes) {
  const auto T = static_cast<double>(sizes.length), C = static_cast<double>(sizes.channels);
  const auto B = static_cast<double>(sizes.batch);
  const std::int64_t length = padded(sizes.length);
  const auto N = static_cast<double>(length);
  const double transform = 2.5 * N * log2_of(length);
  const double moved = 2 * N * (length <= one_pass ? 1 : 2);
  // To rows and from them, and a product in place with the filter's coefficients.
  const double sequence = T + N + moved + 3 * N + moved + 2 * T;
  const double filter = T + N + moved;
  return {.flops = C * ((2 * B + 1) * transform + B * 6 * (N / 2 + 1)),
          .bytes = sizeof(float) * C * (B * sequence + filter)};
}

bool long_conv_by_fft(const cpu::LongConvSizes& sizes) {
  if (!has_fft() || sizes.batch < 1 || sizes.length < 1 || sizes.channels < 1) return false;
  const auto work = [](const LongConvCost& cost) { return std::max(cost.flops, flops_a_byte * cost.bytes); };
  return work(long_conv_fft_cost(sizes)) < work(long_conv_definition_cost(sizes));
}

}  // namespace zoo::gpu
