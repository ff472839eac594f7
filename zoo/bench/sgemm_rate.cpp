#include "zoo/bench/sgemm_rate.h"

#include <algorithm>
#include <chrono>

#include "zoo/bench/median.h"
#include "zoo/core/error.h"
#include "zoo/core/random.h"
#include "zoo/cpu/matmul.h"

namespace zoo {

SgemmRate::SgemmRate() {
  std::int64_t a = 0;
  std::int64_t b = 0;
  std::int64_t c = 0;
  for (const Product& product : products_) {
    a = std::max(a, product.m * product.k);
    b = std::max(b, product.k * product.n);
    c = std::max(c, product.m * product.n);
  }
  RandomStream random(RandomKey::of(0, "sgemm rate"));
  for (auto [values, size] : {std::pair{&a_, a}, std::pair{&b_, b}}) {
    values->resize(static_cast<std::size_t>(size));
    for (float& value : *values) value = static_cast<float>(random.uniform()) - 0.5F;
  }
  c_.resize(static_cast<std::size_t>(c));
  for (const Product& product : products_) time(product);
}

void SgemmRate::sample() {
  for (Product& product : products_) product.seconds.push_back(time(product));
}

double SgemmRate::flops_per_second() const {
  double best = 0;
  for (const Product& product : products_) {
    if (product.seconds.empty()) throw Error("the large-sgemm rate was asked for before it was sampled");
    const double flops = 2.0 * static_cast<double>(product.m * product.n * product.k);
    best = std::max(best, flops / median(product.seconds));
  }
  return best;
}

double SgemmRate::time(const Product& product) {
  const auto begin = std::chrono::steady_clock::now();
  cpu::matmul({.m = product.m, .n = product.n, .k = product.k}, a_.data(), b_.data(), nullptr, c_.data());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace zoo
