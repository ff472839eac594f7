#include "zoo/cpu/diagonal_scan.h"

#include <algorithm>

#include "zoo/cpu/channel_blocks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/diagonal_scan.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Row by row, so that memory is read and written in order; the state lies in the row before.
template <typename T>
void scan(const ScanSizes& sizes, const T* a, const T* b, const T* initial, T* h, const ChannelBlock& block) {
  const hn::ScalableTag<T> d;
  const std::int64_t C = sizes.channels;
  const T* past = initial + block.sequence * C + block.first;
  std::int64_t at = block.sequence * sizes.length * C + block.first;
  for (std::int64_t t = 0; t < sizes.length; ++t, at += C) {
    for_vectors(d, block.count, [&](std::int64_t c, auto part) HWY_ATTR {
      const auto next = hn::MulAdd(part.load(d, a + at + c), part.load(d, past + c), part.load(d, b + at + c));
      part.store(next, d, h + at + c);
    });
    past = h + at;
  }
}

// Rows that memory is asked for ahead of time; backwards, and in five places, processors do not foresee them well.
constexpr std::int64_t rows_ahead = 8;

// With g_t the gradient of the state h_t, by way of its outputs and of later states: g_t = dh_t + a_{t+1} g_{t+1}.
template <typename T>
void scan_gradient(const ScanSizes& sizes, const T* a, const T* h, const T* initial, const T* dh,
                   const DiagonalScanGradients<T>& into, const ChannelBlock& block) {
  const hn::ScalableTag<T> d;
  const std::int64_t C = sizes.channels;
  T* carried = into.initial + block.sequence * C + block.first;  // a_{t+1} g_{t+1}
  std::fill_n(carried, block.count, T{0});
  const std::int64_t start = block.sequence * sizes.length * C + block.first;
  for (std::int64_t t = sizes.length - 1; t >= 0; --t) {
    const std::int64_t at = start + t * C;
    const T* past = t > 0 ? h + at - C : initial + block.sequence * C + block.first;
    const std::int64_t later = std::max(at - rows_ahead * C, start);
    for_vectors(d, block.count, [&](std::int64_t c, auto part) HWY_ATTR {
      __builtin_prefetch(a + later + c, 0, 2);
      __builtin_prefetch(h + later + c, 0, 2);
      __builtin_prefetch(dh + later + c, 0, 2);
      __builtin_prefetch(into.a + later + c, 1, 2);
      __builtin_prefetch(into.b + later + c, 1, 2);
      const auto g = hn::Add(part.load(d, dh + at + c), part.load(d, carried + c));
      part.store(g, d, into.b + at + c);
      part.store(hn::Mul(g, part.load(d, past + c)), d, into.a + at + c);
      part.store(hn::Mul(g, part.load(d, a + at + c)), d, carried + c);
    });
  }
}

// For the dispatch, which takes no templates.
void scan_float(const ScanSizes& sizes, const float* a, const float* b, const float* initial, float* h,
                const ChannelBlock& block) {
  scan(sizes, a, b, initial, h, block);
}
void scan_double(const ScanSizes& sizes, const double* a, const double* b, const double* initial, double* h,
                 const ChannelBlock& block) {
  scan(sizes, a, b, initial, h, block);
}
void scan_gradient_float(const ScanSizes& sizes, const float* a, const float* h, const float* initial, const float* dh,
                         const DiagonalScanGradients<float>& into, const ChannelBlock& block) {
  scan_gradient(sizes, a, h, initial, dh, into, block);
}
void scan_gradient_double(const ScanSizes& sizes, const double* a, const double* h, const double* initial,
                          const double* dh, const DiagonalScanGradients<double>& into, const ChannelBlock& block) {
  scan_gradient(sizes, a, h, initial, dh, into, block);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(scan_float);
HWY_EXPORT(scan_double);
HWY_EXPORT(scan_gradient_float);
HWY_EXPORT(scan_gradient_double);

namespace {

// Channels of a block: a few pages' worth of rows are then read in order.
constexpr std::int64_t block_channels = 256;

}  // namespace

void diagonal_scan_forward(const ScanSizes& sizes, const float* a, const float* b, const float* initial, float* h) {
  for_channel_blocks(sizes.batch, sizes.channels, block_channels, sizes.length, [&](const ChannelBlock& block) {
    HWY_DYNAMIC_DISPATCH(scan_float)(sizes, a, b, initial, h, block);
  });
}

void diagonal_scan_forward(const ScanSizes& sizes, const double* a, const double* b, const double* initial, double* h) {
  for_channel_blocks(sizes.batch, sizes.channels, block_channels, sizes.length, [&](const ChannelBlock& block) {
    HWY_DYNAMIC_DISPATCH(scan_double)(sizes, a, b, initial, h, block);
  });
}

void diagonal_scan_backward(const ScanSizes& sizes, const float* a, const float* h, const float* initial,
                            const float* dh, const DiagonalScanGradients<float>& into) {
  for_channel_blocks(sizes.batch, sizes.channels, block_channels, sizes.length, [&](const ChannelBlock& block) {
    HWY_DYNAMIC_DISPATCH(scan_gradient_float)(sizes, a, h, initial, dh, into, block);
  });
}

void diagonal_scan_backward(const ScanSizes& sizes, const double* a, const double* h, const double* initial,
                            const double* dh, const DiagonalScanGradients<double>& into) {
  for_channel_blocks(sizes.batch, sizes.channels, block_channels, sizes.length, [&](const ChannelBlock& block) {
    HWY_DYNAMIC_DISPATCH(scan_gradient_double)(sizes, a, h, initial, dh, into, block);
  });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
