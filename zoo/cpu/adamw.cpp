#include "zoo/cpu/adamw.h"

#include <cmath>

#include "zoo/core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/adamw.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <typename D>
void adamw_lanes(D d, const AdamWFactors& f, const float* gradient, float* value, float* moment1, float* moment2) {
  const auto g = hn::Mul(hn::LoadU(d, gradient), hn::Set(d, f.gradient_scale));
  const auto m = hn::MulAdd(hn::Set(d, f.beta1), hn::LoadU(d, moment1), hn::Mul(hn::Set(d, 1.0F - f.beta1), g));
  const auto v =
      hn::MulAdd(hn::Set(d, f.beta2), hn::LoadU(d, moment2), hn::Mul(hn::Mul(hn::Set(d, 1.0F - f.beta2), g), g));
  const auto divisor = hn::MulAdd(hn::Sqrt(v), hn::Set(d, f.inverse_root), hn::Set(d, f.epsilon));
  const auto shrunk = hn::Mul(hn::LoadU(d, value), hn::Set(d, f.shrink));
  hn::StoreU(hn::NegMulAdd(hn::Set(d, f.step), hn::Div(m, divisor), shrunk), d, value);
  hn::StoreU(m, d, moment1);
  hn::StoreU(v, d, moment2);
}

void adamw_part(const AdamWFactors& factors, const float* gradient, float* value, float* moment1, float* moment2,
                std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = begin;
  for (; i + lanes <= end; i += lanes) adamw_lanes(d, factors, gradient + i, value + i, moment1 + i, moment2 + i);
  const hn::CappedTag<float, 1> one;
  for (; i < end; ++i) adamw_lanes(one, factors, gradient + i, value + i, moment1 + i, moment2 + i);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(adamw_part);

void adamw(const AdamWFactors& factors, const float* gradient, float* value, float* moment1, float* moment2,
           std::int64_t count) {
  parallel_for(count, 16384, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(adamw_part)(factors, gradient, value, moment1, moment2, begin, end);
  });
}

double sum_of_squares(const float* values, std::int64_t count) {
  double total = 0;
  for (std::int64_t i = 0; i < count; ++i) total += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return total;
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
