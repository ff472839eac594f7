#include "zoo/cpu/cross_entropy.h"

#include <algorithm>

#include "zoo/core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/cross_entropy.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

template <typename T>
T largest_of(const T* row, std::int64_t count) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  if (count < lanes) return *std::max_element(row, row + count);
  auto best = hn::LoadU(d, row);
  for (std::int64_t i = lanes; i + lanes <= count; i += lanes) best = hn::Max(best, hn::LoadU(d, row + i));
  best = hn::Max(best, hn::LoadU(d, row + count - lanes));
  return hn::GetLane(hn::MaxOfLanes(d, best));
}

// Writes exp(row - shift) to `out` (unless nullptr) and returns its sum.
template <typename T>
T exponentials(const T* row, std::int64_t count, T shift, T* out) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto by = hn::Set(d, shift);
  auto sum = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = math::Exp(d, hn::Sub(hn::LoadU(d, row + i), by));
    sum = hn::Add(sum, value);
    if (out != nullptr) hn::StoreU(value, d, out + i);
  }
  T total = hn::GetLane(hn::SumOfLanes(d, sum));
  const hn::CappedTag<T, 1> one;
  for (; i < count; ++i) {
    const T value = hn::GetLane(math::Exp(one, hn::Set(one, row[i] - shift)));
    total += value;
    if (out != nullptr) out[i] = value;
  }
  return total;
}

template <typename T>
void scale_row(T* row, std::int64_t count, T factor) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto by = hn::Set(d, factor);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, row + i), by), d, row + i);
  for (; i < count; ++i) row[i] *= factor;
}

template <typename T>
void rows(const CrossEntropyRows<T>& task, std::int64_t begin, std::int64_t end) {
  const std::int64_t vocab = task.vocab;
  for (std::int64_t r = begin; r < end; ++r) {
    const T* logits = task.logits + r * vocab;
    T* gradient = task.gradient == nullptr ? nullptr : task.gradient + r * vocab;
    const std::int32_t label = task.labels[r];
    const T best = largest_of(logits, vocab);
    if (task.largest != nullptr) {
      task.largest[r] = static_cast<std::int32_t>(std::find(logits, logits + vocab, best) - logits);
    }
    const T labelled = logits[label];
    const T sum = exponentials(logits, vocab, best, gradient);
    if (task.losses != nullptr) {
      task.losses[r] = std::log(static_cast<double>(sum)) + (static_cast<double>(best) - static_cast<double>(labelled));
    }
    if (gradient != nullptr) {
      scale_row(gradient, vocab, static_cast<T>(task.factor / static_cast<double>(sum)));
      gradient[label] -= static_cast<T>(task.factor);
    }
  }
}

void cross_entropy_f32(const CrossEntropyRows<float>& task, std::int64_t begin, std::int64_t end) {
  rows(task, begin, end);
}

void cross_entropy_f64(const CrossEntropyRows<double>& task, std::int64_t begin, std::int64_t end) {
  rows(task, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(cross_entropy_f32);
HWY_EXPORT(cross_entropy_f64);

namespace {

// Rows enough for a thread to be worth waking.
std::int64_t grain(std::int64_t vocab) {
  return 1 + 8192 / (vocab + 1);
}

}  // namespace

void cross_entropy(const CrossEntropyRows<float>& task) {
  parallel_for(task.rows, grain(task.vocab), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(cross_entropy_f32)(task, begin, end);
  });
}

void cross_entropy(const CrossEntropyRows<double>& task) {
  parallel_for(task.rows, grain(task.vocab), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(cross_entropy_f64)(task, begin, end);
  });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
