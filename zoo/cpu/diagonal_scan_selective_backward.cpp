#include <algorithm>
#include <numbers>

#include "zoo/core/pool.h"
#include "zoo/cpu/channel_blocks.h"
#include "zoo/cpu/diagonal_scan_selective.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/diagonal_scan_selective_backward.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/diagonal_scan_exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr std::int64_t chunk = SelectiveScanSizes::chunk;

// Vectors of channels that are worked on together: with the state's gradient, A and A's gradient of each, 12 of
// AVX-512's 32 registers, or 6 of 16.
constexpr std::int64_t group = HWY_TARGET <= HWY_AVX3 ? 4 : 2;

// What is at hand of each step of a group of channels: `state` is the one before the step, and `factor` exp(delta A),
// both of one n at a time; `input` is delta x.
enum Row : std::int64_t { delta_row, input_row, dy_row, ddelta_row, dinput_row, factor_row, state_row, rows };

// A chunk of a group of channels, in whole vectors that end in zeros. A step's rows lie side by side: rows a power of
// two apart would fall into the same sets of the first-level cache, which this is meant to stay in.
template <class D, typename T = hn::TFromD<D>>
struct Tile {
  static constexpr std::int64_t width = group * hn::MaxLanes(D());

  HWY_ALIGN T values[(chunk + 1) * rows * width];
  HWY_ALIGN T x[chunk * width];

  T* at(std::int64_t t, Row row) { return values + (t * rows + row) * width; }

  void load(const T* from, std::int64_t stride, std::int64_t steps, std::int64_t count, Row row) {
    for (std::int64_t t = 0; t < steps; ++t) copy(from + t * stride, count, at(t, row));
  }
  void store(Row row, std::int64_t stride, std::int64_t steps, std::int64_t count, T* to) {
    for (std::int64_t t = 0; t < steps; ++t) {
      if (count == width) {
        copy_whole(at(t, row), to + t * stride);
      } else {
        std::copy_n(at(t, row), count, to + t * stride);
      }
    }
  }

 private:
  static void copy(const T* from, std::int64_t count, T* to) {
    if (count == width) return copy_whole(from, to);
    std::copy_n(from, count, to);
    std::fill_n(to + count, width - count, T{0});
  }
  // Of a length that is known: most of them are, and a call for each costs as much as the scan itself.
  static HWY_INLINE void copy_whole(const T* from, T* to) {
    const D d;
    for (std::int64_t i = 0; i < width; i += hn::MaxLanes(d)) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
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

// States of one n in a tile, from the one before the first step.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void states(D d, std::int64_t steps, std::int64_t N, const T* A, const T* B, Tile<D>& tile) {
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  using V = hn::Vec<D>;
  V rate[group], h[group];
#pragma GCC unroll 4
  for (std::int64_t i = 0; i < group; ++i) {
    rate[i] = hn::Mul(hn::Load(d, A + i * lanes), hn::Set(d, std::numbers::log2e_v<T>));
    h[i] = hn::Load(d, tile.at(0, state_row) + i * lanes);
  }
  for (std::int64_t t = 0; t < steps; ++t) {
    const V b = hn::Set(d, B[t * N]);
#pragma GCC unroll 4
    for (std::int64_t i = 0; i < group; ++i) {
      const V a = power_of_two(d, hn::Mul(hn::Load(d, tile.at(t, delta_row) + i * lanes), rate[i]));
      h[i] = hn::MulAdd(a, h[i], hn::Mul(hn::Load(d, tile.at(t, input_row) + i * lanes), b));
      hn::Store(a, d, tile.at(t, factor_row) + i * lanes);
      hn::Store(h[i], d, tile.at(t + 1, state_row) + i * lanes);
    }
  }
}

// Back through the steps of one n in a tile. With g_t the gradient of h_t:
//   g_t = dy_t C_t + a_{t+1} g_{t+1},  dC_t = sum dy_t h_t,  dB_t = sum g_t input_t,  d(input_t) = sum g_t B_t,
//   d(delta_t A) = g_t a_t h_{t-1}.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void back_through_steps(D d, std::int64_t steps, std::int64_t N, const T* B, const T* C, const T* A,
                                     Tile<D>& tile, T* dh, T* dA, T* dB, T* dC) {
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  using V = hn::Vec<D>;
  V rate[group], carried[group], drate[group], h[group];
#pragma GCC unroll 4
  for (std::int64_t i = 0; i < group; ++i) {
    rate[i] = hn::Load(d, A + i * lanes);
    carried[i] = hn::Load(d, dh + i * lanes);
    drate[i] = hn::Zero(d);
    h[i] = hn::Load(d, tile.at(steps, state_row) + i * lanes);
  }
  for (std::int64_t t = steps - 1; t >= 0; --t) {
    const V b = hn::Set(d, B[t * N]), c = hn::Set(d, C[t * N]);
    V b_sum = hn::Load(d, dB + t * lanes), c_sum = hn::Load(d, dC + t * lanes);
#pragma GCC unroll 4
    for (std::int64_t i = 0; i < group; ++i) {
      const auto row = [&](Row which) HWY_ATTR { return tile.at(t, which) + i * lanes; };
      const V dy = hn::Load(d, row(dy_row));
      const V g = hn::MulAdd(dy, c, carried[i]);
      c_sum = hn::MulAdd(dy, h[i], c_sum);
      b_sum = hn::MulAdd(g, hn::Load(d, row(input_row)), b_sum);
      hn::Store(hn::MulAdd(g, b, hn::Load(d, row(dinput_row))), d, row(dinput_row));
      carried[i] = hn::Mul(g, hn::Load(d, row(factor_row)));
      h[i] = hn::Load(d, row(state_row));
      const V dexponent = hn::Mul(carried[i], h[i]);
      hn::Store(hn::MulAdd(dexponent, rate[i], hn::Load(d, row(ddelta_row))), d, row(ddelta_row));
      drate[i] = hn::MulAdd(dexponent, hn::Load(d, row(delta_row)), drate[i]);
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
  for (std::int64_t t = 0; t < steps; ++t) {
    for (std::int64_t i = 0; i < Tile<D>::width; i += hn::MaxLanes(d)) {
      const auto x = hn::Load(d, tile.x + t * Tile<D>::width + i);
      hn::Store(hn::Mul(hn::Load(d, tile.at(t, delta_row) + i), x), d, tile.at(t, input_row) + i);
      hn::Store(hn::Zero(d), d, tile.at(t, ddelta_row) + i);
      hn::Store(hn::Zero(d), d, tile.at(t, dinput_row) + i);
    }
  }
}

// From the gradient of delta x to those of delta and x; x's takes the place of dinput. y's term D x.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void finish(D d, std::int64_t steps, const T* skip, Tile<D>& tile, T* dskip) {
  for (std::int64_t i = 0; i < Tile<D>::width; i += hn::MaxLanes(d)) {
    const auto factor = hn::Load(d, skip + i);
    auto sum = hn::Zero(d);
    for (std::int64_t t = 0; t < steps; ++t) {
      const auto x = hn::Load(d, tile.x + t * Tile<D>::width + i), dy = hn::Load(d, tile.at(t, dy_row) + i);
      const auto dinput = hn::Load(d, tile.at(t, dinput_row) + i), delta = hn::Load(d, tile.at(t, delta_row) + i);
      const auto ddelta = hn::MulAdd(dinput, x, hn::Load(d, tile.at(t, ddelta_row) + i));
      hn::Store(ddelta, d, tile.at(t, ddelta_row) + i);
      hn::Store(hn::MulAdd(dinput, delta, hn::Mul(dy, factor)), d, tile.at(t, dinput_row) + i);
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

// Asks for a row of `count` values at `at`, in the second-level cache: the rows of a tile lie too far apart for the
// processor to foresee. `write`: 1 where it will be written.
template <int write, typename T>
HWY_INLINE void fetch(const T* at, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += 64 / static_cast<std::int64_t>(sizeof(T)))
    __builtin_prefetch(at + i, write, 2);
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
      tile.load(inputs.x + at, E, steps, count, input_row);
      for (std::int64_t t = 0; t < steps; ++t) std::copy_n(tile.at(t, input_row), width, tile.x + t * width);
      tile.load(inputs.delta + at, E, steps, count, delta_row);
      tile.load(dy + at, E, steps, count, dy_row);
      prepare(d, steps, tile);
      for (std::int64_t n = 0; n < N; ++n) {
        if (n < steps) {  // this tile's results, and what it will be loaded with in the chunk before
          const std::int64_t here = at + n * E, before = std::max<std::int64_t>(here - chunk * E, 0);
          fetch<1>(into.x + here, count);
          fetch<1>(into.delta + here, count);
          fetch<0>(inputs.x + before, count);
          fetch<0>(inputs.delta + before, count);
          fetch<0>(dy + before, count);
        }
        if (chunk_index > 0) fetch<0>(checkpoint - (N - n) * E + c, count);
        tile.load(checkpoint + n * E + c, E, 1, count, state_row);
        const T* A = kept.A.data() + n * kept.width + c;
        states(d, steps, N, A, inputs.B + row * N + n, tile);
        back_through_steps(d, steps, N, inputs.B + row * N + n, inputs.C + row * N + n, A, tile,
                           kept.dh.data() + n * kept.width + c, kept.dA.data() + n * kept.width + c,
                           kept.dB.data() + n * chunk * lanes, kept.dC.data() + n * chunk * lanes);
      }
      finish(d, steps, skip.data() + c, tile, kept.dD.data() + c);
      tile.store(dinput_row, E, steps, count, into.x + at);
      tile.store(ddelta_row, E, steps, count, into.delta + at);
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
