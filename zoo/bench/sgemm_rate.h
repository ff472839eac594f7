#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace zoo {

/// What the machine reaches on large float32 products, the yardstick of all benchmarks: the better of 2048 x 2048 x
/// 2048 and 8192 x 256 x 1024 (m, n, k), the median of the samples of each, with zoo::threads() threads. Samples are
/// taken between those of what is measured, so that both meet the same machine.
class SgemmRate {
 public:
  /// Warms up.
  SgemmRate();
  /// Times each product once.
  void sample();
  /// FLOP/s; call sample() five times or more before.
  double flops_per_second() const;

 private:
  struct Product {
    std::int64_t m, n, k;
    std::vector<double> seconds;
  };
  double time(const Product& product);

  std::array<Product, 2> products_{{{2048, 2048, 2048, {}}, {8192, 256, 1024, {}}}};
  std::vector<float> a_, b_, c_;  // large enough for either
};

}  // namespace zoo
