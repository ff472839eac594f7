#include <algorithm>

#include "zoo/gpu/diagonal_scan_wkv.h"
#include "zoo/gpu/extent.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/scan_place.h"

namespace zoo::gpu {

namespace {

constexpr int steps = static_cast<int>(cpu::wkv_chunk);  // of a piece, which a thread keeps in registers
constexpr int most_pieces = 8;

// The sums p and q, divided by e^o.
struct State {
  float p;
  float q;
  float o;
};

// e^{past - m} and e^{now - m} with m the larger exponent: one of them is 1.
struct Weights {
  float past;
  float now;
};

__device__ __forceinline__ Weights weights_of(float past, float now) {
  const float smaller = expf(-fabsf(past - now));
  return past >= now ? Weights{1, smaller} : Weights{smaller, 1};
}

// The sums of a state that has faded to the exponent `past`, and of what came since.
__device__ __forceinline__ State together(const State& state, float past, const State& since) {
  const Weights weights = weights_of(past, since.o);
  return {fmaf(weights.past, state.p, weights.now * since.p), fmaf(weights.past, state.q, weights.now * since.q),
          fmaxf(past, since.o)};
}

// A state moves by one step.
__device__ __forceinline__ State advanced(const State& state, float k, float v, float w) {
  return together(state, w + state.o, {v, 1, k});
}

// What a thread computes, and where its numbers lie.
struct Place : ScanPlace {
  std::ptrdiff_t of_state;    // in a tensor [B,C]
  std::ptrdiff_t of_step;     // of the first step, in a tensor [B,T,C]
  std::ptrdiff_t checkpoint;  // of the first, in [B,chunks,3,C]

  __device__ Place(int length, int channels) : ScanPlace(channels) {
    of_state = static_cast<std::ptrdiff_t>(sequence) * channels + channel;
    of_step = static_cast<std::ptrdiff_t>(sequence) * length * channels + channel;
    checkpoint = static_cast<std::ptrdiff_t>(sequence) * ((length + steps - 1) / steps) * 3 * channels + channel;
  }
};

// As diagonal_scan: each thread adds up its piece alone, goes through the pieces before its own, and then through its
// steps.
__global__ void __launch_bounds__(most_pieces * 32)
    forward_kernel(int length, int channels, const float* __restrict__ k, const float* __restrict__ v,
                   const float* __restrict__ w, const float* __restrict__ u, const float* p, const float* q,
                   const float* o, float* __restrict__ y, float* last_p, float* last_q, float* last_o,
                   float* __restrict__ checkpoints) {
  auto* shared = shared_memory<State>();  // [2][pieces][32]
  const Place place(length, channels);
  const float own_w = place.inside ? w[place.channel] : 0.0F;
  const float own_u = place.inside ? u[place.channel] : 0.0F;
  State state = {0, 0, 0};
  if (place.inside) state = {p[place.of_state], q[place.of_state], o[place.of_state]};
  for (int first = 0, round = 0; first < length; first += place.pieces * steps, ++round) {
    State* whole = shared + round % 2 * place.pieces * 32;
    const int begin = first + place.piece * steps;
    const int count = place.inside ? min(steps, length - begin) : 0;  // may be negative
    const std::ptrdiff_t start = place.of_step + static_cast<std::ptrdiff_t>(begin) * channels;
    float own_k[steps];
    float own_v[steps];
    State alone = {0, 0, -1e38F};
    for (int i = 0; i < steps; ++i) {
      if (i >= count) continue;
      own_k[i] = k[start + static_cast<std::ptrdiff_t>(i) * channels];
      own_v[i] = v[start + static_cast<std::ptrdiff_t>(i) * channels];
      alone = advanced(alone, own_k[i], own_v[i], own_w);
    }
    whole[place.in_shared(place.piece)] = alone;
    // One barrier a round is enough: who writes this half again has met the others at the next round's.
    __syncthreads();
    State at_begin = state;
    for (int piece = 0; piece < place.pieces; ++piece) {
      if (piece == place.piece) at_begin = state;
      const int faded = min(steps, length - first - piece * steps);
      if (faded > 0)
        state = together(state, fmaf(static_cast<float>(faded), own_w, state.o), whole[place.in_shared(piece)]);
    }
    if (count > 0 && checkpoints != nullptr) {
      float* to = checkpoints + place.checkpoint + static_cast<std::ptrdiff_t>(begin / steps) * 3 * channels;
      to[0] = at_begin.p;
      to[channels] = at_begin.q;
      to[2 * static_cast<std::ptrdiff_t>(channels)] = at_begin.o;
    }
    for (int i = 0; i < steps; ++i) {
      if (i >= count) continue;
      const Weights read = weights_of(at_begin.o, own_u + own_k[i]);
      const float inverse = 1 / fmaf(read.past, at_begin.q, read.now);
      y[start + static_cast<std::ptrdiff_t>(i) * channels] = fmaf(read.past, at_begin.p, read.now * own_v[i]) * inverse;
      at_begin = advanced(at_begin, own_k[i], own_v[i], own_w);
    }
  }
  if (!place.inside || place.piece > 0) return;
  last_p[place.of_state] = state.p;
  last_q[place.of_state] = state.q;
  last_o[place.of_state] = state.o;
}

// What is carried from later steps to earlier ones: the gradients of p and q, and what the last state's o was given
// beyond them, which goes back to where its maximum came from (cpu::wkv_backward).
struct Carried {
  float dp;
  float dq;
  float rest;
};

// Several steps in a row, backwards: dp becomes kept dp + dp', dq likewise, and the rest goes on where every maximum
// came from the past.
struct Piece {
  float kept;
  float dp;
  float dq;
  float from_past;  // 1 or 0
};

struct BackwardShared {
  Piece pieces[2][most_pieces * 32];
  float rest[32];  // of the last state
  float dw[most_pieces * 32];
  float du[most_pieces * 32];
};

// A step of the forward pass: the state before it, and what its read and its move made of that.
struct Step {
  float p, q, v;
  Weights read, kept;
  float dnumerator, ddenominator;
};

__global__ void __launch_bounds__(most_pieces * 32)
    backward_kernel(int length, int channels, const float* __restrict__ k, const float* __restrict__ v,
                    const float* __restrict__ w, const float* __restrict__ u, const float* __restrict__ checkpoints,
                    const float* __restrict__ dy, const float* __restrict__ dlast_p, const float* __restrict__ dlast_q,
                    const float* __restrict__ dlast_o, float* __restrict__ dk, float* __restrict__ dv,
                    float* __restrict__ dw, float* __restrict__ du, float* __restrict__ dp, float* __restrict__ dq,
                    float* __restrict__ d_o) {
  auto& shared = *shared_memory<BackwardShared>();
  const Place place(length, channels);
  const float own_w = place.inside ? w[place.channel] : 0.0F;
  const float own_u = place.inside ? u[place.channel] : 0.0F;
  const auto given = [&](const float* gradient) {
    return place.inside && gradient != nullptr ? gradient[place.of_state] : 0.0F;
  };
  Carried carried = {given(dlast_p), given(dlast_q), 0};
  float w_sum = 0;
  float u_sum = 0;
  const int chunks = (length + steps - 1) / steps;
  // Piece 0 of round 0 has the last chunk, piece 1 the one before.
  for (int first = 0, round = 0; first < chunks; first += place.pieces, ++round) {
    Piece* whole = shared.pieces[round % 2];
    const int chunk = chunks - 1 - first - place.piece;
    const int begin = chunk * steps;
    const int count = place.inside && chunk >= 0 ? min(steps, length - begin) : 0;
    const std::ptrdiff_t start = place.of_step + static_cast<std::ptrdiff_t>(begin) * channels;
    const auto at = [&](int i) { return start + static_cast<std::ptrdiff_t>(i) * channels; };
    State state = {0, 0, 0};
    if (count > 0) {
      const float* from = checkpoints + place.checkpoint + static_cast<std::ptrdiff_t>(chunk) * 3 * channels;
      state = {from[0], from[channels], from[2 * static_cast<std::ptrdiff_t>(channels)]};
    }
    const State before = state;
    Step own[steps];
    for (int i = 0; i < steps; ++i) {
      if (i >= count) continue;
      const float own_k = k[at(i)];
      Step& step = own[i];
      step.p = state.p;
      step.q = state.q;
      step.v = v[at(i)];
      step.read = weights_of(state.o, own_u + own_k);
      step.kept = weights_of(own_w + state.o, own_k);
      const float inverse = 1 / fmaf(step.read.past, state.q, step.read.now);
      step.dnumerator = dy[at(i)] * inverse;
      step.ddenominator = -step.dnumerator * (fmaf(step.read.past, state.p, step.read.now * step.v) * inverse);
      state = advanced(state, own_k, step.v, own_w);
    }
    Piece alone = {1, 0, 0, 1};
    for (int i = steps - 1; i >= 0; --i) {
      if (i >= count) continue;
      const Step& step = own[i];
      alone.dp = fmaf(step.kept.past, alone.dp, step.read.past * step.dnumerator);
      alone.dq = fmaf(step.kept.past, alone.dq, step.read.past * step.ddenominator);
      alone.kept *= step.kept.past;
      alone.from_past *= step.kept.past == 1 ? 1.0F : 0.0F;
    }
    whole[place.in_shared(place.piece)] = alone;
    if (round == 0 && place.piece == 0)
      shared.rest[place.lane] = given(dlast_o) - fmaf(state.p, carried.dp, state.q * carried.dq);
    __syncthreads();
    if (round == 0) carried.rest = shared.rest[place.lane];
    Carried later = carried;
    for (int piece = 0; piece < place.pieces; ++piece) {
      if (piece == place.piece) later = carried;
      const Piece other = whole[place.in_shared(piece)];
      carried = {fmaf(other.kept, carried.dp, other.dp), fmaf(other.kept, carried.dq, other.dq),
                 other.from_past * carried.rest};
    }
    for (int i = steps - 1; i >= 0; --i) {
      if (i >= count) continue;
      const Step& step = own[i];
      const bool from_past = step.kept.past == 1;
      const float through_u = step.read.now * fmaf(step.dnumerator, step.v, step.ddenominator);
      const float through_k = step.kept.now * fmaf(later.dp, step.v, later.dq);
      u_sum += through_u;
      dv[at(i)] = fmaf(step.read.now, step.dnumerator, step.kept.now * later.dp);
      dk[at(i)] = through_u + through_k + (from_past ? 0.0F : later.rest);
      later.rest = from_past ? later.rest : 0.0F;
      const float past_p = step.kept.past * later.dp;
      const float past_q = step.kept.past * later.dq;
      w_sum += fmaf(past_p, step.p, past_q * step.q) + later.rest;
      later.dp = fmaf(step.read.past, step.dnumerator, past_p);
      later.dq = fmaf(step.read.past, step.ddenominator, past_q);
    }
    if (count > 0 && chunk == 0) {
      dp[place.of_state] = later.dp;
      dq[place.of_state] = later.dq;
      d_o[place.of_state] = fmaf(before.p, later.dp, before.q * later.dq) + later.rest;
    }
  }
  shared.dw[place.in_shared(place.piece)] = w_sum;
  shared.du[place.in_shared(place.piece)] = u_sum;
  __syncthreads();
  if (!place.inside || place.piece > 0) return;
  for (int piece = 1; piece < place.pieces; ++piece) {
    w_sum += shared.dw[place.in_shared(piece)];
    u_sum += shared.du[place.in_shared(piece)];
  }
  dw[place.of_state] = w_sum;
  du[place.of_state] = u_sum;
}

struct Extents {
  int length, channels;
};

Extents checked(const cpu::ScanSizes& sizes) {
  extent("wkv", "batch", sizes.batch);
  return {extent("wkv", "length", sizes.length), extent("wkv", "channels", sizes.channels)};
}

LaunchShape shape_of(const char* kernel, const cpu::ScanSizes& sizes) {
  const auto [length, channels] = checked(sizes);
  const int pieces = std::clamp(length / steps + (length % steps > 0 ? 1 : 0), 1, most_pieces);
  return {.kernel = kernel,
          .blocks = static_cast<std::uint64_t>(sizes.batch) * ((channels + 31) / 32),
          .threads = static_cast<unsigned>(pieces) * 32};
}

}  // namespace

LaunchShape wkv_forward_kernel(const cpu::ScanSizes& sizes) {
  LaunchShape shape = shape_of("wkv_forward", sizes);
  shape.shared_bytes = 2 * sizeof(State) * shape.threads;
  return shape;
}

LaunchShape wkv_backward_kernel(const cpu::ScanSizes& sizes) {
  LaunchShape shape = shape_of("wkv_backward", sizes);
  shape.shared_bytes = sizeof(BackwardShared);
  return shape;
}

void wkv_forward(const cpu::ScanSizes& sizes, const cpu::WkvInputs<float>& inputs,
                 const cpu::WkvOutputs<float>& outputs, Stream& stream) {
  const auto [length, channels] = checked(sizes);
  launch_shape(forward_kernel, wkv_forward_kernel(sizes), stream, length, channels, inputs.k, inputs.v, inputs.w,
               inputs.u, inputs.state.p, inputs.state.q, inputs.state.o, outputs.y, outputs.state.p, outputs.state.q,
               outputs.state.o, outputs.checkpoints);
}

void wkv_backward(const cpu::ScanSizes& sizes, const cpu::WkvInputs<float>& inputs, const float* checkpoints,
                  const float* dy, const cpu::WkvState<const float>& dstate, const cpu::WkvGradients<float>& into,
                  Stream& stream) {
  const auto [length, channels] = checked(sizes);
  launch_shape(backward_kernel, wkv_backward_kernel(sizes), stream, length, channels, inputs.k, inputs.v, inputs.w,
               inputs.u, checkpoints, dy, dstate.p, dstate.q, dstate.o, into.k, into.v, into.w, into.u, into.state.p,
               into.state.q, into.state.o);
}

}  // namespace zoo::gpu
