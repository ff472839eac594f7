// What the short convolution's kernels share: the inputs that a few steps meet, and sums over taps. Included once for
// each instruction set (hence no #pragma once).
#if defined(ZOO_CPU_CAUSAL_CONV_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_CAUSAL_CONV_INL_H_
#undef ZOO_CPU_CAUSAL_CONV_INL_H_
#else
#define ZOO_CPU_CAUSAL_CONV_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "zoo/core/pool.h"
#include "zoo/cpu/causal_conv.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Steps that share their loads, and the usual number of taps, for which all that they share stays in registers.
constexpr int together = 4;
constexpr int usual_taps = 4;

// Rows of two tensors [B, first, C] and [B, second, C] as one sequence: the state and the inputs behind it.
template <typename T>
struct Joined {
  T* first;
  T* second;
  std::int64_t first_length;
  std::int64_t second_length;
  std::int64_t channels;

  T* row(std::int64_t sequence, std::int64_t i) const {
    return i < first_length ? first + (sequence * first_length + i) * channels
                            : second + (sequence * second_length + i - first_length) * channels;
  }
};

template <typename T>
Joined<T> join(const CausalConvSizes& sizes, T* state, T* x) {
  return {state, x, sizes.kernel - 1, sizes.length, sizes.channels};
}

// The inputs that a few steps meet: those of step i and tap j at [i + j], from the block's first channel on.
template <typename T>
class Window {
 public:
  template <typename Element>
  Window(const CausalConvSizes& sizes, const CausalConvInputs<T>& inputs, const CausalConvBlock<Element>& block)
      : padded_(join(sizes, inputs.state, inputs.x)),
        sequence_(block.sequence),
        first_(block.first),
        rows_(static_cast<std::size_t>(sizes.kernel - 1 + together)) {}

  // For `steps` steps from t on.
  void move(std::int64_t t, std::int64_t steps) {
    const std::int64_t rows = steps + padded_.first_length;
    for (std::int64_t i = 0; i < rows; ++i) {
      rows_[static_cast<std::size_t>(i)] = padded_.row(sequence_, t + i) + first_;
    }
  }
  const T* operator[](std::int64_t i) const { return rows_[static_cast<std::size_t>(i)]; }

 private:
  Joined<const T> padded_;
  std::int64_t sequence_;
  std::int64_t first_;
  PoolVector<const T*> rows_;
};

// Vectors of the rows of a window at channel c: in registers where `taps` says how many there are, otherwise loaded
// where they are read.
template <int steps, int taps, class D, class Part, typename T = hn::TFromD<D>>
class Rows {
 public:
  HWY_INLINE Rows(D d, const Part& part, const Window<T>& window, std::int64_t c)
      : d_(d), part_(part), window_(window), c_(c) {
    if constexpr (taps > 0) {
#pragma GCC unroll 8
      for (int i = 0; i < steps + taps - 1; ++i) kept_[i] = part.load(d, window[i] + c);
    }
  }
  HWY_INLINE hn::Vec<D> operator[](std::int64_t i) const {
    if constexpr (taps > 0) return kept_[i];
    return part_.load(d_, window_[i] + c_);
  }

 private:
  D d_;
  const Part& part_;
  const Window<T>& window_;
  std::int64_t c_;
  hn::Vec<D> kept_[steps + std::max(taps, 1) - 1];
};

// A few steps' sums over taps at channel c of a block. weights [K,C] from the block's first channel on.
template <int steps, int taps, class D, class Part, typename T = hn::TFromD<D>>
HWY_INLINE void convolve(D d, const CausalConvSizes& sizes, const Rows<steps, taps, D, Part>& x, const T* weights,
                         const T* bias, std::int64_t c, const Part& part, hn::Vec<D> (&sums)[steps]) {
  const auto start = bias == nullptr ? hn::Zero(d) : part.load(d, bias + c);
#pragma GCC unroll 8
  for (int i = 0; i < steps; ++i) sums[i] = start;
  const std::int64_t kernel = taps > 0 ? taps : sizes.kernel;
#pragma GCC unroll 4
  for (std::int64_t tap = 0; tap < kernel; ++tap) {
    const auto weight = part.load(d, weights + tap * sizes.channels + c);
#pragma GCC unroll 8
    for (int i = 0; i < steps; ++i) sums[i] = hn::MulAdd(weight, x[i + tap], sums[i]);
  }
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard, by target
