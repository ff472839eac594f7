#include "zoo/cpu/causal_conv.h"

#include <algorithm>

#include "zoo/core/parallel.h"
#include "zoo/core/pool.h"
#include "zoo/cpu/partition.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/causal_conv.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/causal_conv-inl.h"
#include "zoo/cpu/elementwise_rules-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

// A few steps of a vector of channels. (GCC unrolls as it is told in functions, not in lambdas.)
template <int steps, int taps, class D, class Part, typename T = hn::TFromD<D>>
HWY_INLINE void forward_vector(D d, const CausalConvSizes& sizes, const Window<T>& window, const T* weights,
                               const T* bias, std::int64_t c, const Part& part, T* y, std::int64_t stride) {
  const Rows<steps, taps, D, Part> x(d, part, window, c);
  hn::Vec<D> sums[steps];
  convolve<steps, taps>(d, sizes, x, weights, bias, c, part, sums);
#pragma GCC unroll 8
  for (int i = 0; i < steps; ++i) {
    part.store(sizes.silu ? math::Silu(d, sums[i]) : sums[i], d, y + i * stride);
  }
}

template <int steps, int taps, class D, typename T = hn::TFromD<D>>
HWY_INLINE void forward_steps(D d, const CausalConvSizes& sizes, const CausalConvInputs<T>& inputs, const T* weights,
                              const CausalConvBlock<T>& block, std::int64_t t, Window<T>& window) {
  window.move(t, steps);
  const T* bias = inputs.bias == nullptr ? nullptr : inputs.bias + block.first;
  T* y = block.y + t * block.stride;
  for_vectors(d, block.count, [&](std::int64_t c, auto part) HWY_ATTR {
    forward_vector<steps, taps>(d, sizes, window, weights + block.first, bias, c, part, y + c, block.stride);
  });
}

// weights [K,C]: taps outermost.
template <int taps, class D, typename T = hn::TFromD<D>>
HWY_INLINE void forward_block(D d, const CausalConvSizes& sizes, const CausalConvInputs<T>& inputs, const T* weights,
                              const CausalConvBlock<T>& block) {
  Window<T> window(sizes, inputs, block);
  std::int64_t t = 0;
  for (; t + together <= sizes.length; t += together) {
    forward_steps<together, taps>(d, sizes, inputs, weights, block, t, window);
  }
  for (; t < sizes.length; ++t) forward_steps<1, taps>(d, sizes, inputs, weights, block, t, window);
}

// What the backward pass of a block works with.
template <typename T>
struct BackwardBlock {
  const CausalConvSizes& sizes;
  const CausalConvInputs<T>& inputs;
  const T* weights;  // [K,C], from the block's first channel on
  CausalConvBlock<const T> block;
  Joined<T> gradient;  // of state and x; its second tensor is nullptr where nobody wants it
  T* sums;             // [K+1,C], from the block's first channel on: for weights and, behind the taps, bias
  T* given;            // [K-1+together,count]: gradients of what the convolution gave, the last K-1 steps' first
};

// The gradients of what the convolution gave at a few steps, of a vector of channels; with them the sums for the
// gradients of weights and bias, and the gradients of the inputs that have met their last tap: of input i of state and
// x together, sum_tap weight[tap] given[i - tap], to the rows `into`.
template <int steps, int taps, class D, class Part, typename T = hn::TFromD<D>>
HWY_INLINE void backward_vector(D d, const BackwardBlock<T>& at, const Window<T>& window, std::int64_t t,
                                std::int64_t c, const Part& part, T* const* into) {
  const std::int64_t C = at.sizes.channels, kernel = taps > 0 ? taps : at.sizes.kernel, past = kernel - 1;
  const std::int64_t width = at.block.count;
  const Rows<steps, taps, D, Part> x(d, part, window, c);
  const T* dy = at.block.y + t * at.block.stride + c;
  hn::Vec<D> own[steps];
#pragma GCC unroll 8
  for (int i = 0; i < steps; ++i) own[i] = part.load(d, dy + i * at.block.stride);
  if (at.sizes.silu) {
    const T* bias = at.inputs.bias == nullptr ? nullptr : at.inputs.bias + at.block.first;
    hn::Vec<D> argument[steps];
    convolve<steps, taps>(d, at.sizes, x, at.weights, bias, c, part, argument);
#pragma GCC unroll 8
    for (int i = 0; i < steps; ++i) own[i] = rules::Silu::gradient(d, argument[i], own[i]);
  }
#pragma GCC unroll 4
  for (std::int64_t tap = 0; tap < kernel; ++tap) {
    auto sum = part.load(d, at.sums + tap * C + c);
#pragma GCC unroll 8
    for (int i = 0; i < steps; ++i) sum = hn::MulAdd(own[i], x[i + tap], sum);
    part.store(sum, d, at.sums + tap * C + c);
  }
  auto bias_sum = part.load(d, at.sums + kernel * C + c);
#pragma GCC unroll 8
  for (int i = 0; i < steps; ++i) bias_sum = hn::Add(bias_sum, own[i]);
  part.store(bias_sum, d, at.sums + kernel * C + c);

  T* given = at.given + c;
#pragma GCC unroll 8
  for (int i = 0; i < steps; ++i) part.store(own[i], d, given + (past + i) * width);
  if (into[0] != nullptr) {
    hn::Vec<D> met[steps];
#pragma GCC unroll 8
    for (int i = 0; i < steps; ++i) met[i] = hn::Zero(d);
#pragma GCC unroll 4
    for (std::int64_t tap = 0; tap < kernel; ++tap) {
      const auto weight = part.load(d, at.weights + tap * C + c);
#pragma GCC unroll 8
      for (int i = 0; i < steps; ++i) {
        met[i] = hn::MulAdd(weight, part.load(d, given + (past + i - tap) * width), met[i]);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < steps; ++i) part.store(met[i], d, into[i] + c);
  }
#pragma GCC unroll 4
  for (std::int64_t i = 0; i < past; ++i) {
    part.store(part.load(d, given + (i + steps) * width), d, given + i * width);
  }
}

template <int steps, int taps, class D, typename T = hn::TFromD<D>>
HWY_INLINE void backward_steps(D d, const BackwardBlock<T>& at, std::int64_t t, Window<T>& window) {
  window.move(t, steps);
  T* into[steps];
  for (int i = 0; i < steps; ++i) {
    into[i] = at.gradient.second == nullptr ? nullptr : at.gradient.row(at.block.sequence, t + i) + at.block.first;
  }
  for_vectors(d, at.block.count, [&](std::int64_t c, auto part) HWY_ATTR {
    backward_vector<steps, taps>(d, at, window, t, c, part, into);
  });
}

// The gradients of the last K-1 inputs, which the next state holds.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void backward_end(D d, const BackwardBlock<T>& at, const T* dstate) {
  const std::int64_t C = at.sizes.channels, past = at.sizes.kernel - 1, width = at.block.count;
  for (std::int64_t i = 0; i < past; ++i) {
    const T* kept = dstate == nullptr ? nullptr : dstate + (at.block.sequence * past + i) * C + at.block.first;
    T* into = at.gradient.row(at.block.sequence, at.sizes.length + i) + at.block.first;
    for_vectors(d, width, [&](std::int64_t c, auto part) HWY_ATTR {
      auto met = kept == nullptr ? hn::Zero(d) : part.load(d, kept + c);
      for (std::int64_t tap = i + 1; tap <= past; ++tap) {
        const auto weight = part.load(d, at.weights + tap * C + c);
        met = hn::MulAdd(weight, part.load(d, at.given + (past + i - tap) * width + c), met);
      }
      part.store(met, d, into + c);
    });
  }
}

// In one pass over the sequence. `sums` are [K+1,C].
template <int taps, class D, typename T = hn::TFromD<D>>
HWY_INLINE void backward_block(D d, const CausalConvSizes& sizes, const CausalConvInputs<T>& inputs, const T* weights,
                               const T* dstate, const CausalConvBlock<const T>& block,
                               const CausalConvGradients<T>& into, T* sums) {
  PoolVector<T> given(static_cast<std::size_t>((sizes.kernel - 1 + together) * block.count), T{0});
  const BackwardBlock<T> at{
      sizes, inputs, weights + block.first, block, join(sizes, into.state, into.x), sums + block.first, given.data()};
  Window<T> window(sizes, inputs, block);
  std::int64_t t = 0;
  for (; t + together <= sizes.length; t += together) backward_steps<together, taps>(d, at, t, window);
  for (; t < sizes.length; ++t) backward_steps<1, taps>(d, at, t, window);
  if (into.x != nullptr) backward_end(d, at, dstate);
}

// For the dispatch, which takes no templates.
void forward_float(const CausalConvSizes& sizes, const CausalConvInputs<float>& inputs, const float* weights,
                   const CausalConvBlock<float>& block) {
  const hn::ScalableTag<float> d;
  if (sizes.kernel == usual_taps) return forward_block<usual_taps>(d, sizes, inputs, weights, block);
  forward_block<0>(d, sizes, inputs, weights, block);
}
void forward_double(const CausalConvSizes& sizes, const CausalConvInputs<double>& inputs, const double* weights,
                    const CausalConvBlock<double>& block) {
  const hn::ScalableTag<double> d;
  if (sizes.kernel == usual_taps) return forward_block<usual_taps>(d, sizes, inputs, weights, block);
  forward_block<0>(d, sizes, inputs, weights, block);
}
void backward_float(const CausalConvSizes& sizes, const CausalConvInputs<float>& inputs, const float* weights,
                    const float* dstate, const CausalConvBlock<const float>& block,
                    const CausalConvGradients<float>& into, float* sums) {
  const hn::ScalableTag<float> d;
  if (sizes.kernel == usual_taps)
    return backward_block<usual_taps>(d, sizes, inputs, weights, dstate, block, into, sums);
  backward_block<0>(d, sizes, inputs, weights, dstate, block, into, sums);
}
void backward_double(const CausalConvSizes& sizes, const CausalConvInputs<double>& inputs, const double* weights,
                     const double* dstate, const CausalConvBlock<const double>& block,
                     const CausalConvGradients<double>& into, double* sums) {
  const hn::ScalableTag<double> d;
  if (sizes.kernel == usual_taps)
    return backward_block<usual_taps>(d, sizes, inputs, weights, dstate, block, into, sums);
  backward_block<0>(d, sizes, inputs, weights, dstate, block, into, sums);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(forward_float);
HWY_EXPORT(forward_double);
HWY_EXPORT(backward_float);
HWY_EXPORT(backward_double);

namespace {

// Channels of a block at the most: a KiB of floats of each row, which the caches hold for as many taps as are usual.
constexpr std::int64_t block_channels = 256;

// [rows, columns] as [columns, rows].
template <typename T>
void swap_axes(std::int64_t rows, std::int64_t columns, const T* from, T* to) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
  }
}

// Taps outermost, so that channels lie along vectors.
template <typename T>
PoolVector<T> taps_first(const CausalConvSizes& sizes, const T* weight) {
  PoolVector<T> result(static_cast<std::size_t>(sizes.channels * sizes.kernel));
  swap_axes(sizes.channels, sizes.kernel, weight, result.data());
  return result;
}

// Calls body(block) for the blocks of all sequences.
template <typename T, typename Body>
void for_blocks(const CausalConvSizes& sizes, std::span<const CausalConvPart<T>> parts, const Body& body) {
  PoolVector<CausalConvBlock<T>> blocks;
  for (std::int64_t b = 0; b < sizes.batch; ++b) {
    std::int64_t first = 0;
    for (const CausalConvPart<T>& part : parts) {
      for (std::int64_t c = 0; c < part.channels; c += block_channels) {
        blocks.push_back({b, first + c, std::min(block_channels, part.channels - c),
                          part.y + b * sizes.length * part.channels + c, part.channels});
      }
      first += part.channels;
    }
  }
  const std::int64_t work = sizes.length * std::min(sizes.channels, block_channels) * sizes.kernel;
  for_rows(static_cast<std::int64_t>(blocks.size()), work, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) body(blocks[static_cast<std::size_t>(i)]);
  });
}

template <typename T, typename Kernel>
void forward(const CausalConvSizes& sizes, const CausalConvInputs<T>& inputs, std::span<const CausalConvPart<T>> parts,
             const Kernel& kernel) {
  const PoolVector<T> weights = taps_first(sizes, inputs.weight);
  for_blocks(sizes, parts, [&](const CausalConvBlock<T>& block) { kernel(sizes, inputs, weights.data(), block); });
}

// Sums for weights and bias run along each sequence, and then over sequences, so that long sums lose little.
template <typename T, typename Kernel>
void backward(const CausalConvSizes& sizes, const CausalConvInputs<T>& inputs,
              std::span<const CausalConvPart<const T>> dy, const T* dstate, const CausalConvGradients<T>& into,
              const Kernel& kernel) {
  const PoolVector<T> weights = taps_first(sizes, inputs.weight);
  const std::int64_t of_taps = sizes.kernel * sizes.channels, of_sequence = of_taps + sizes.channels;
  PoolVector<T> sums(static_cast<std::size_t>(sizes.batch * of_sequence), T{0});
  for_blocks(sizes, dy, [&](const CausalConvBlock<const T>& block) {
    kernel(sizes, inputs, weights.data(), dstate, block, into, sums.data() + block.sequence * of_sequence);
  });
  PoolVector<T> total(static_cast<std::size_t>(of_sequence), T{0});
  for (std::int64_t b = 0; b < sizes.batch; ++b) {
    for (std::int64_t i = 0; i < of_sequence; ++i) {
      total[static_cast<std::size_t>(i)] += sums[static_cast<std::size_t>(b * of_sequence + i)];
    }
  }
  if (into.weight != nullptr) swap_axes(sizes.kernel, sizes.channels, total.data(), into.weight);
  if (into.bias != nullptr) std::copy_n(total.data() + of_taps, sizes.channels, into.bias);
}

}  // namespace

void causal_conv_forward(const CausalConvSizes& sizes, const CausalConvInputs<float>& inputs,
                         std::span<const CausalConvPart<float>> y) {
  forward(sizes, inputs, y, HWY_DYNAMIC_DISPATCH(forward_float));
}

void causal_conv_forward(const CausalConvSizes& sizes, const CausalConvInputs<double>& inputs,
                         std::span<const CausalConvPart<double>> y) {
  forward(sizes, inputs, y, HWY_DYNAMIC_DISPATCH(forward_double));
}

void causal_conv_backward(const CausalConvSizes& sizes, const CausalConvInputs<float>& inputs,
                          std::span<const CausalConvPart<const float>> dy, const float* dstate,
                          const CausalConvGradients<float>& gradients) {
  backward(sizes, inputs, dy, dstate, gradients, HWY_DYNAMIC_DISPATCH(backward_float));
}

void causal_conv_backward(const CausalConvSizes& sizes, const CausalConvInputs<double>& inputs,
                          std::span<const CausalConvPart<const double>> dy, const double* dstate,
                          const CausalConvGradients<double>& gradients) {
  backward(sizes, inputs, dy, dstate, gradients, HWY_DYNAMIC_DISPATCH(backward_double));
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
