#include <algorithm>

#include "zoo/gpu/diagonal_scan.h"
#include "zoo/gpu/extent.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/scan_place.h"

namespace zoo::gpu {

namespace {

constexpr int steps = diagonal_scan_piece;  // which a thread keeps in registers
constexpr int most_pieces = 16;

// A step, or several in a row: h becomes a h + b.
struct Step {
  float a;
  float b;
};

// Scans one channel: h = load(i).a h + load(i).b for i from 0 to length - 1 in this order, and store(i, h before, h) of
// each. Each thread makes one step of its piece's steps; all threads go through those of all pieces before theirs, and
// then each through its own steps.
template <typename Load, typename Store>
__device__ __forceinline__ void scan(const ScanPlace& place, int length, float h, const Load& load,
                                     const Store& store) {
  auto* shared = shared_memory<Step>();  // [2][pieces][32]
  Step own[steps];
  for (int first = 0, round = 0; first < length; first += place.pieces * steps, ++round) {
    Step* whole = shared + round % 2 * place.pieces * 32;
    const int begin = first + place.piece * steps;
    Step together = {1, 0};
    for (int i = 0; i < steps; ++i) {
      own[i] = place.inside && begin + i < length ? load(begin + i) : Step{1, 0};
      together = {own[i].a * together.a, fmaf(own[i].a, together.b, own[i].b)};
    }
    whole[place.in_shared(place.piece)] = together;
    // One barrier a round is enough: who writes this half again has met the others at the next round's.
    __syncthreads();
    float at_begin = h;
    for (int piece = 0; piece < place.pieces; ++piece) {
      if (piece == place.piece) at_begin = h;
      const Step step = whole[place.in_shared(piece)];
      h = fmaf(step.a, h, step.b);
    }
    float state = at_begin;
    for (int i = 0; i < steps; ++i) {
      const float before = state;
      state = fmaf(own[i].a, before, own[i].b);
      if (place.inside && begin + i < length) store(begin + i, before, state);
    }
  }
}

__global__ void __launch_bounds__(most_pieces * 32)
    forward_kernel(int length, int channels, const float* __restrict__ a, const float* __restrict__ b,
                   const float* __restrict__ initial, float* __restrict__ h) {
  const ScanPlace place(channels);
  const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(place.sequence) * length * channels + place.channel;
  const auto at = [&](int t) { return start + static_cast<std::ptrdiff_t>(t) * channels; };
  const float h_before =
      place.inside ? initial[static_cast<std::ptrdiff_t>(place.sequence) * channels + place.channel] : 0.0F;
  scan(
      place, length, h_before,
      [&](int t) {
        return Step{a[at(t)], b[at(t)]};
      },
      [&](int t, float, float state) { h[at(t)] = state; });
}

// With g_t the gradient of the state h_t, by way of its outputs and of later states: g_t = dh_t + a_{t+1} g_{t+1}, a
// scan from the end; step i is t = length - 1 - i.
__global__ void __launch_bounds__(most_pieces * 32)
    backward_kernel(int length, int channels, const float* __restrict__ a, const float* __restrict__ h,
                    const float* __restrict__ initial, const float* __restrict__ dh, float* __restrict__ da,
                    float* __restrict__ db, float* __restrict__ dinitial) {
  const ScanPlace place(channels);
  const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(place.sequence) * length * channels + place.channel;
  const std::ptrdiff_t of_state = static_cast<std::ptrdiff_t>(place.sequence) * channels + place.channel;
  const auto at = [&](int i) { return start + static_cast<std::ptrdiff_t>(length - 1 - i) * channels; };
  scan(
      place, length, 0,
      [&](int i) {
        return Step{i == 0 ? 0.0F : a[at(i - 1)], dh[at(i)]};
      },
      [&](int i, float, float g) {
        db[at(i)] = g;
        const bool first = i == length - 1;
        da[at(i)] = g * (first ? initial[of_state] : h[at(i + 1)]);
        if (first) dinitial[of_state] = a[at(i)] * g;
      });
}

struct Extents {
  int batch, length, channels;
};

Extents checked(const cpu::ScanSizes& sizes) {
  return {extent("diagonal_scan", "batch", sizes.batch), extent("diagonal_scan", "length", sizes.length),
          extent("diagonal_scan", "channels", sizes.channels)};
}

LaunchShape shape_of(const Extents& sizes) {
  const std::uint64_t blocks = std::uint64_t{1} * sizes.batch * ((sizes.channels + 31) / 32);
  // Eight pieces are memory enough under way where each multiprocessor has several blocks; few blocks take more.
  const int wanted = blocks < 2 * device().multiprocessors ? most_pieces : 8;
  const int pieces = std::clamp(sizes.length / steps + (sizes.length % steps > 0 ? 1 : 0), 1, wanted);
  return {.kernel = "diagonal_scan",
          .blocks = sizes.length == 0 ? 0 : blocks,
          .threads = static_cast<unsigned>(pieces) * 32,
          .shared_bytes = 2 * sizeof(Step) * 32 * static_cast<std::size_t>(pieces)};
}

}  // namespace

void diagonal_scan_forward(const cpu::ScanSizes& sizes, const float* a, const float* b, const float* initial, float* h,
                           Stream& stream) {
  const Extents extents = checked(sizes);
  launch_shape(forward_kernel, shape_of(extents), stream, extents.length, extents.channels, a, b, initial, h);
}

void diagonal_scan_backward(const cpu::ScanSizes& sizes, const float* a, const float* h, const float* initial,
                            const float* dh, const cpu::DiagonalScanGradients<float>& into, Stream& stream) {
  const Extents extents = checked(sizes);
  launch_shape(backward_kernel, shape_of(extents), stream, extents.length, extents.channels, a, h, initial, dh, into.a,
               into.b, into.initial);
}

LaunchShape diagonal_scan_kernel(const cpu::ScanSizes& sizes) {
  return shape_of(checked(sizes));
}

}  // namespace zoo::gpu
