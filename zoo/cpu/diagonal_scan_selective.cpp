#include "zoo/cpu/diagonal_scan_selective.h"

#include <algorithm>

#include "zoo/core/pool.h"
#include "zoo/cpu/channel_blocks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/diagonal_scan_selective.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/diagonal_scan_exp-inl.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Steps [begin, end) of a block's channels. `rates`, A log2(e), and the states h are [N, block], n outermost, so that
// channels lie along vectors.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void scan_steps(D d, const SelectiveScanSizes& sizes, const SelectiveScanInputs<T>& inputs, const T* rates,
                             const ChannelBlock& block, std::int64_t begin, std::int64_t end, T* h, T* y) {
  const std::int64_t E = sizes.channels, N = sizes.state;
  for_vectors(d, block.count, [&](std::int64_t c, auto part) HWY_ATTR {
    const auto skip = part.load(d, inputs.D + block.first + c);
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t row = block.sequence * sizes.length + t;
      const std::int64_t at = row * E + block.first + c;
      // The same row of the next chunk, which lies too far away for the processor to foresee.
      const std::int64_t later = at + std::min(sizes.chunk, sizes.length - 1 - t) * E;
      __builtin_prefetch(inputs.x + later, 0, 2);
      __builtin_prefetch(inputs.delta + later, 0, 2);
      __builtin_prefetch(y + later, 1, 2);
      const T* B = inputs.B + row * N;
      const T* C = inputs.C + row * N;
      const auto x = part.load(d, inputs.x + at);
      const auto delta = part.load(d, inputs.delta + at);
      const auto input = hn::Mul(delta, x);
      auto sum = hn::Mul(skip, x);
      for (std::int64_t n = 0; n < N; ++n) {
        T* state = h + n * block.count + c;
        const auto a = power_of_two(d, hn::Mul(delta, part.load(d, rates + n * block.count + c)));
        const auto next = hn::MulAdd(a, part.load(d, state), hn::Mul(input, hn::Set(d, B[n])));
        part.store(next, d, state);
        sum = hn::MulAdd(next, hn::Set(d, C[n]), sum);
      }
      part.store(sum, d, y + at);
    }
  });
}

// [rows, columns] as [columns, rows].
template <typename T>
void swap_axes(std::int64_t rows, std::int64_t columns, const T* from, T* to) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
  }
}

template <typename T>
void selective_scan(const SelectiveScanSizes& sizes, const SelectiveScanInputs<T>& inputs,
                    const SelectiveScanOutputs<T>& outputs, const ChannelBlock& block) {
  const std::int64_t E = sizes.channels, N = sizes.state;
  const std::int64_t of_state = (block.sequence * E + block.first) * N;
  PoolVector<T> rates(static_cast<std::size_t>(block.count * N)), h(rates.size());
  swap_axes(block.count, N, inputs.A + block.first * N, rates.data());
  for (T& rate : rates) rate *= std::numbers::log2e_v<T>;
  swap_axes(block.count, N, inputs.initial + of_state, h.data());
  for (std::int64_t first = 0; first < sizes.length; first += sizes.chunk) {
    if (outputs.checkpoints != nullptr) {
      T* to = outputs.checkpoints + (block.sequence * sizes.chunks() + first / sizes.chunk) * N * E + block.first;
      for (std::int64_t n = 0; n < N; ++n) std::copy_n(h.data() + n * block.count, block.count, to + n * E);
    }
    scan_steps(hn::ScalableTag<T>(), sizes, inputs, rates.data(), block, first,
               std::min(first + sizes.chunk, sizes.length), h.data(), outputs.y);
  }
  swap_axes(N, block.count, h.data(), outputs.state + of_state);
}

// For the dispatch, which takes no templates.
void selective_scan_float(const SelectiveScanSizes& sizes, const SelectiveScanInputs<float>& inputs,
                          const SelectiveScanOutputs<float>& outputs, const ChannelBlock& block) {
  selective_scan(sizes, inputs, outputs, block);
}
void selective_scan_double(const SelectiveScanSizes& sizes, const SelectiveScanInputs<double>& inputs,
                           const SelectiveScanOutputs<double>& outputs, const ChannelBlock& block) {
  selective_scan(sizes, inputs, outputs, block);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(selective_scan_float);
HWY_EXPORT(selective_scan_double);

void selective_scan_forward(const SelectiveScanSizes& sizes, const SelectiveScanInputs<float>& inputs,
                            const SelectiveScanOutputs<float>& outputs) {
  for_channel_blocks(sizes.batch, sizes.channels, sizes.block, sizes.length * sizes.state,
                     [&](const ChannelBlock& block) {
                       HWY_DYNAMIC_DISPATCH(selective_scan_float)(sizes, inputs, outputs, block);
                     });
}

void selective_scan_forward(const SelectiveScanSizes& sizes, const SelectiveScanInputs<double>& inputs,
                            const SelectiveScanOutputs<double>& outputs) {
  for_channel_blocks(sizes.batch, sizes.channels, sizes.block, sizes.length * sizes.state,
                     [&](const ChannelBlock& block) {
                       HWY_DYNAMIC_DISPATCH(selective_scan_double)(sizes, inputs, outputs, block);
                     });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
