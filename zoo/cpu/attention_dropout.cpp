#include <algorithm>

#include "zoo/cpu/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/attention_dropout.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/attention_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
void fill_all(const AttentionSizes& sizes, T* factors) {
  for (std::int64_t b = 0; b < sizes.batch; ++b) {
    for (std::int64_t h = 0; h < sizes.heads; ++h) {
      const RandomKey key = attention_dropout_key(sizes, b, h);
      for (std::int64_t t = 0; t < sizes.queries; ++t, factors += sizes.keys) {
        dropout_row(hn::ScalableTag<T>(), sizes, key, sizes.first_query + t, 0, sizes.keys, factors);
      }
    }
  }
}

// For the dispatch, which takes no templates.
void attention_dropout_float(const AttentionSizes& sizes, float* factors) {
  fill_all(sizes, factors);
}
void attention_dropout_double(const AttentionSizes& sizes, double* factors) {
  fill_all(sizes, factors);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(attention_dropout_float);
HWY_EXPORT(attention_dropout_double);

void attention_dropout(const AttentionSizes& sizes, float* factors) {
  HWY_DYNAMIC_DISPATCH(attention_dropout_float)(sizes, factors);
}

void attention_dropout(const AttentionSizes& sizes, double* factors) {
  HWY_DYNAMIC_DISPATCH(attention_dropout_double)(sizes, factors);
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
