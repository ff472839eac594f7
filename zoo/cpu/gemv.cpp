#include "zoo/cpu/gemv.h"

#include <algorithm>

#include "zoo/core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/gemv.cpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

// Row after row, since memory is fastest read from end to end; four chains of sums. The processor's own prefetching
// stops at the ends of pages, so what is needed a little later is asked for here.
void gemv_rows(const float* w, const float* x, const float* bias, std::int64_t rows, std::int64_t k, float* y) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  constexpr std::int64_t ahead = 1024;  // floats: a page
  for (std::int64_t row = 0; row < rows; ++row, w += k) {
    auto sum0 = hn::Zero(d), sum1 = hn::Zero(d), sum2 = hn::Zero(d), sum3 = hn::Zero(d);
    std::int64_t i = 0;
    for (; i + 4 * lanes <= k; i += 4 * lanes) {
      for (std::int64_t line = 0; line < 4 * lanes; line += 16) hwy::Prefetch(w + i + ahead + line);
      sum0 = hn::MulAdd(hn::LoadU(d, w + i), hn::LoadU(d, x + i), sum0);
      sum1 = hn::MulAdd(hn::LoadU(d, w + i + lanes), hn::LoadU(d, x + i + lanes), sum1);
      sum2 = hn::MulAdd(hn::LoadU(d, w + i + 2 * lanes), hn::LoadU(d, x + i + 2 * lanes), sum2);
      sum3 = hn::MulAdd(hn::LoadU(d, w + i + 3 * lanes), hn::LoadU(d, x + i + 3 * lanes), sum3);
    }
    for_vectors(d, k - i, [&](std::int64_t j, auto part) HWY_ATTR {
      sum0 = hn::MulAdd(part.load(d, w + i + j), part.load(d, x + i + j), sum0);
    });
    const float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
    y[row] = bias != nullptr ? sum + bias[row] : sum;
  }
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(gemv_rows);

void gemv(const float* w, const float* x, const float* bias, std::int64_t n, std::int64_t k, float* y) {
  constexpr std::int64_t worth_a_thread = 1 << 17;  // values of W: half a megabyte takes as long as waking a thread
  const std::int64_t grain = std::max<std::int64_t>(worth_a_thread / std::max<std::int64_t>(k, 1), 1);
  parallel_for(n, grain, [=](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(gemv_rows)
    (w + begin * k, x, bias == nullptr ? nullptr : bias + begin, end - begin, k, y + begin);
  });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
