#include <algorithm>
#include <numbers>

#include "zoo/core/pool.h"
#include "zoo/cpu/channel_blocks.h"
#include "zoo/cpu/diagonal_scan_selective.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/diagonal_scan_selective_backward.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/diagonal_scan_decay-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr std::int64_t chunk = SelectiveScanSizes::chunk;

// Vectors of channels that are worked on together: with the state's gradient, A and A's gradient of each, 12 of
// AVX-512's 32 registers, or 6 of 16.
constexpr std::int64_t group = HWY_TARGET <= HWY_AVX3 ? 4 : 2;

// A chunk's rows of a group of channels, whole vectors that end in zeros: [chunk][group of vectors].
template <class D, typename T = hn::TFromD<D>>
struct Tile {
  static constexpr std::int64_t width = group * hn::MaxLanes(D());

  HWY_ALIGN T x[chunk * width];
  HWY_ALIGN T delta[chunk * width];
  HWY_ALIGN T input[chunk * width];  // delta x
  HWY_ALIGN T dy[chunk * width];
  HWY_ALIGN T ddelta[chunk * width];
  HWY_ALIGN T dinput[chunk * width];
  // For one n: factors exp(delta A), and states before the chunk and after each of its steps.
  HWY_ALIGN T factor[chunk * width];
  HWY_ALIGN T h[(chunk + 1) * width];

  void load(const T* from, std::int64_t stride, std::int64_t steps, std::int64_t count, T* to) {
    for (std::int64_t t = 0; t < steps; ++t) {
      std::copy_n(from + t * stride, count, to + t * width);
      std::fill_n(to + t * width + count, width - count, T{0});
    }
  }
  void store(const T* from, std::int64_t stride, std::int64_t steps, std::int64_t count, T* to) {
    for (std::int64_t t = 0; t < steps; ++t) std::copy_n(from + t * width, count, to + t * stride);
  }
};

// What a block of channels keeps from chunk to chunk: [N, width], n outermost; and sums by vector, lanes still apart.
template <class D, typename T = hn::TFromD<D>>
struct Block {
  Block(std::int64_t N, std::int64_t count)
      : groups((count + Tile<D>::width - 1) / Tile<D>::width),
        width(groups * Tile<D>::width),
        A(static_cast<std::size_t>(N * width)),
        dA(A.size()),
        dh(A.size()),
        dD(static_cast<std::size_t>(width)),
        dB(static_cast<std::size_t>(N * chunk * hn::MaxLanes(D()))),
        dC(dB.size()) {}

  std::int64_t groups;
  std::int64_t width;
  PoolVector<T> A;
  PoolVector<T> dA;
  PoolVector<T> dh;
  PoolVector<T> dD;
  PoolVector<T> dB;  // [N][chunk][lanes]
  PoolVector<T> dC;
};

// States of one n in a tile, from tile.h[0].
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void states(D d, std::int64_t steps, std::int64_t N, const T* A, const T* B, Tile<D>& tile) {
  constexpr std::int64_t lanes = hn::MaxLanes(d), width = Tile<D>::width;
  for (std::int64_t i = 0; i < group; ++i) {
    const auto rate = hn::Mul(hn::Load(d, A + i * lanes), hn::Set(d, std::numbers::log2e_v<T>));
    auto h = hn::Load(d, tile.h + i * lanes);
    for (std::int64_t t = 0; t < steps; ++t) {
      const std::int64_t at = t * width + i * lanes;
      const auto a = power_of_two(d, hn::Mul(hn::Load(d, tile.delta + at), rate));
      h = hn::MulAdd(a, h, hn::Mul(hn::Load(d, tile.input + at), hn::Set(d, B[t * N])));
      hn::Store(a, d, tile.factor + at);
      hn::Store(h, d, tile.h + width + at);
    }
  }
}

// Back through the steps of one n in a tile. With g_t the gradient of h_t:
//   g_t = dy_t C_t + a_{t+1} g_{t+1},  dC_t = sum dy_t h_t,  dB_t = sum g_t input_t,  d(input_t) = sum g_t B_t,
//   d(delta_t A) = g_t a_t h_{t-1}.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void back_through_steps(D d, std::int64_t steps, std::int64_t N, const T* B, const T* C, const T* A,
                                     Tile<D>& tile, T* dh, T* dA, T* dB, T* dC) {
  constexpr std::int64_t lanes = hn::MaxLanes(d), width = Tile<D>::width;
  using V = hn::Vec<D>;
  V rate[group], carried[group], drate[group];
#pragma GCC unroll 4
  for (std::int64_t i = 0; i < group; ++i) {
    rate[i] = hn::Load(d, A + i * lanes);
    carried[i] = hn::Load(d, dh + i * lanes);
    drate[i] = hn::Zero(d);
  }
  for (std::int64_t t = steps - 1; t >= 0; --t) {
    const V b = hn::Set(d, B[t * N]), c = hn::Set(d, C[t * N]);
    V b_sum = hn::Load(d, dB + t * lanes), c_sum = hn::Load(d, dC + t * lanes);
#pragma GCC unroll 4
    for (std::int64_t i = 0; i < group; ++i) {
      const std::int64_t at = t * width + i * lanes;
      const V dy = hn::Load(d, tile.dy + at);
      const V g = hn::MulAdd(dy, c, carried[i]);
      c_sum = hn::MulAdd(dy, hn::Load(d, tile.h + width + at), c_sum);
      b_sum = hn::MulAdd(g, hn::Load(d, tile.input + at), b_sum);
      hn::Store(hn::MulAdd(g, b, hn::Load(d, tile.dinput + at)), d, tile.dinput + at);
      carried[i] = hn::Mul(g, hn::Load(d, tile.factor + at));
      const V dexponent = hn::Mul(carried[i], hn::Load(d, tile.h + at));
      hn::Store(hn::MulAdd(dexponent, rate[i], hn::Load(d, tile.ddelta + at)), d, tile.ddelta + at);
      drate[i] = hn::MulAdd(dexponent, hn::Load(d, tile.delta + at), drate[i]);
    }
    hn::Store(b_sum, d, dB + t * lanes);
    hn::Store(c_sum, d, dC + t * lanes);
  }
#pragma GCC unroll 4
  for (std::int64_t i = 0; i < group; ++i) {
    hn::Store(carried[i], d, dh + i * lanes);
    hn::Store(hn::Add(hn::Load(d, dA + i * lanes), drate[i]), d, dA + i * lanes);
  }
}

// delta x and zero gradients.
template <class D>
HWY_NOINLINE void prepare(D d, std::int64_t steps, Tile<D>& tile) {
  for (std::int64_t at = 0; at < steps * Tile<D>::width; at += hn::MaxLanes(d)) {
    hn::Store(hn::Mul(hn::Load(d, tile.delta + at), hn::Load(d, tile.x + at)), d, tile.input + at);
    hn::Store(hn::Zero(d), d, tile.ddelta + at);
    hn::Store(hn::Zero(d), d, tile.dinput + at);
  }
}

// From the gradient of delta x to those of delta and x; x's takes the place of dinput. y's term D x.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void finish(D d, std::int64_t steps, const T* skip, Tile<D>& tile, T* dskip) {
  constexpr std::int64_t lanes = hn::MaxLanes(d), width = Tile<D>::width;
  for (std::int64_t i = 0; i < width; i += lanes) {
    const auto factor = hn::Load(d, skip + i);
    auto sum = hn::Zero(d);
    for (std::int64_t at = i; at < steps * width; at += width) {
      const auto x = hn::Load(d, tile.x + at), dy = hn::Load(d, tile.dy + at);
      const auto dinput = hn::Load(d, tile.dinput + at);
      hn::Store(hn::MulAdd(dinput, x, hn::Load(d, tile.ddelta + at)), d, tile.ddelta + at);
      hn::Store(hn::MulAdd(dinput, hn::Load(d, tile.delta + at), hn::Mul(dy, factor)), d, tile.dinput + at);
      sum = hn::MulAdd(dy, x, sum);
    }
    hn::Store(hn::Add(hn::Load(d, dskip + i), sum), d, dskip + i);
  }
}

// sums [N][chunk][lanes] as to [steps][N].
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void add_lanes(D d, std::int64_t steps, std::int64_t N, const T* sums, T* to) {
  for (std::int64_t n = 0; n < N; ++n) {
    for (std::int64_t t = 0; t < steps; ++t) {
      const auto lanes = hn::Load(d, sums + (n * chunk + t) * hn::MaxLanes(d));
      to[t * N + n] = hn::GetLane(hn::SumOfLanes(d, lanes));
    }
  }
}

// [count, N] as [N, width] with zeros at the end of the rows, and back.
template <typename T>
void state_outermost(std::int64_t count, std::int64_t N, std::int64_t width, const T* from, T* to) {
  std::fill_n(to, N * width, T{0});
  if (from == nullptr) return;
  for (std::int64_t c = 0; c < count; ++c) {
    for (std::int64_t n = 0; n < N; ++n) to[n * width + c] = from[c * N + n];
  }
}
template <typename T>
void channels_outermost(std::int64_t count, std::int64_t N, std::int64_t width, const T* from, T* to) {
  for (std::int64_t c = 0; c < count; ++c) {
    for (std::int64_t n = 0; n < N; ++n) to[c * N + n] = from[n * width + c];
  }
}

template <typename T>
void selective_scan_gradient(const SelectiveScanSizes& sizes, const SelectiveScanInputs<T>& inputs,
                             const T* checkpoints, const T* dy, const T* dstate, const SelectiveScanGradients<T>& into,
                             const ChannelBlock& block) {
  const hn::ScalableTag<T> d;
  using D = hn::ScalableTag<T>;
  constexpr std::int64_t lanes = hn::MaxLanes(d), width = Tile<D>::width;
  const std::int64_t E = sizes.channels, N = sizes.state;
  const std::int64_t of_state = (block.sequence * E + block.first) * N;
  Block<D> kept(N, block.count);
  PoolVector<Tile<D>> tiles(1);
  Tile<D>& tile = tiles[0];
  PoolVector<T> skip(static_cast<std::size_t>(kept.width));
  std::copy_n(inputs.D + block.first, block.count, skip.data());
  state_outermost(block.count, N, kept.width, inputs.A + block.first * N, kept.A.data());
  state_outermost(block.count, N, kept.width, dstate == nullptr ? nullptr : dstate + of_state, kept.dh.data());
  for (std::int64_t chunk_index = sizes.chunks() - 1; chunk_index >= 0; --chunk_index) {
    const std::int64_t first = chunk_index * chunk, steps = std::min(chunk, sizes.length - first);
    const std::int64_t row = block.sequence * sizes.length + first;
    const T* checkpoint = checkpoints + (block.sequence * sizes.chunks() + chunk_index) * N * E + block.first;
    std::ranges::fill(kept.dB, T{0});
    std::ranges::fill(kept.dC, T{0});
    for (std::int64_t c = 0; c < kept.width; c += width) {
      const std::int64_t at = row * E + block.first + c, count = std::min(width, block.count - c);
      tile.load(inputs.x + at, E, steps, count, tile.x);
      tile.load(inputs.delta + at, E, steps, count, tile.delta);
      tile.load(dy + at, E, steps, count, tile.dy);
      prepare(d, steps, tile);
      for (std::int64_t n = 0; n < N; ++n) {
        tile.load(checkpoint + n * E + c, E, 1, count, tile.h);
        const T* A = kept.A.data() + n * kept.width + c;
        states(d, steps, N, A, inputs.B + row * N + n, tile);
        back_through_steps(d, steps, N, inputs.B + row * N + n, inputs.C + row * N + n, A, tile,
                           kept.dh.data() + n * kept.width + c, kept.dA.data() + n * kept.width + c,
                           kept.dB.data() + n * chunk * lanes, kept.dC.data() + n * chunk * lanes);
      }
      finish(d, steps, skip.data() + c, tile, kept.dD.data() + c);
      tile.store(tile.dinput, E, steps, count, into.x + at);
      tile.store(tile.ddelta, E, steps, count, into.delta + at);
    }
    const std::int64_t part = block.first / sizes.block * sizes.batch * sizes.length + row;
    add_lanes(d, steps, N, kept.dB.data(), into.B + part * N);
    add_lanes(d, steps, N, kept.dC.data(), into.C + part * N);
  }
  channels_outermost(block.count, N, kept.width, kept.dA.data(), into.A + of_state);
  channels_outermost(block.count, N, kept.width, kept.dh.data(), into.initial + of_state);
  std::copy_n(kept.dD.data(), block.count, into.D + block.sequence * E + block.first);
}

// For the dispatch, which takes no templates.
void selective_scan_gradient_float(const SelectiveScanSizes& sizes, const SelectiveScanInputs<float>& inputs,
                                   const float* checkpoints, const float* dy, const float* dstate,
                                   const SelectiveScanGradients<float>& into, const ChannelBlock& block) {
  selective_scan_gradient(sizes, inputs, checkpoints, dy, dstate, into, block);
}
void selective_scan_gradient_double(const SelectiveScanSizes& sizes, const SelectiveScanInputs<double>& inputs,
                                    const double* checkpoints, const double* dy, const double* dstate,
                                    const SelectiveScanGradients<double>& into, const ChannelBlock& block) {
  selective_scan_gradient(sizes, inputs, checkpoints, dy, dstate, into, block);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(selective_scan_gradient_float);
HWY_EXPORT(selective_scan_gradient_double);

void selective_scan_backward(const SelectiveScanSizes& sizes, const SelectiveScanInputs<float>& inputs,
                             const float* checkpoints, const float* dy, const float* dstate,
                             const SelectiveScanGradients<float>& into) {
  for_channel_blocks(
      sizes.batch, sizes.channels, sizes.block, sizes.length * sizes.state, [&](const ChannelBlock& block) {
        HWY_DYNAMIC_DISPATCH(selective_scan_gradient_float)(sizes, inputs, checkpoints, dy, dstate, into, block);
      });
}

void selective_scan_backward(const SelectiveScanSizes& sizes, const SelectiveScanInputs<double>& inputs,
                             const double* checkpoints, const double* dy, const double* dstate,
                             const SelectiveScanGradients<double>& into) {
  for_channel_blocks(
      sizes.batch, sizes.channels, sizes.block, sizes.length * sizes.state, [&](const ChannelBlock& block) {
        HWY_DYNAMIC_DISPATCH(selective_scan_gradient_double)(sizes, inputs, checkpoints, dy, dstate, into, block);
      });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
