#include <algorithm>

#include "zoo/gpu/diagonal_scan_selective.h"
#include "zoo/gpu/extent.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/scan_place.h"
#include "zoo/gpu/warp.h"

namespace zoo::gpu {

namespace {

constexpr int steps = static_cast<int>(cpu::SelectiveScanSizes::chunk);  // of a piece
constexpr int most_pieces = 8;

// Several steps in a row, of one n of N: a state h becomes a h + b.
struct Piece {
  float a;
  float b;
};

// What a thread computes, and where its numbers lie.
struct Place : ScanPlace {
  int all_channels, all_states;
  std::ptrdiff_t of_step;      // of the first, in a tensor [B,T,E]
  std::ptrdiff_t of_sequence;  // its first step, in a tensor [B,T,N]
  std::ptrdiff_t of_state;     // n = 0, in a tensor [B,E,N]
  std::ptrdiff_t of_pieces;    // the first piece, n = 0, in [B,pieces,N,E]

  __device__ Place(int length, int channels, int state)
      : ScanPlace(channels),
        all_channels(channels),
        all_states(state),
        of_step(static_cast<std::ptrdiff_t>(sequence) * length * channels + channel),
        of_sequence(static_cast<std::ptrdiff_t>(sequence) * length * state),
        of_state((static_cast<std::ptrdiff_t>(sequence) * channels + channel) * state),
        of_pieces(static_cast<std::ptrdiff_t>(sequence) * ((length + steps - 1) / steps) * state * channels + channel) {
  }

  __device__ std::ptrdiff_t step(int t) const { return of_step + static_cast<std::ptrdiff_t>(t) * all_channels; }
  // Of B and C, n = 0.
  __device__ std::ptrdiff_t row(int t) const { return of_sequence + static_cast<std::ptrdiff_t>(t) * all_states; }
  __device__ std::ptrdiff_t checkpoint(int own_piece, int n) const {
    return of_pieces + (static_cast<std::ptrdiff_t>(own_piece) * all_states + n) * all_channels;
  }
};

// Shared memory, in floats: of the pieces of two rounds, what they do to the state of one n; the states that go from
// round to round, of two of them.
__host__ __device__ constexpr std::size_t shared_floats(int pieces, int state) {
  return std::size_t{2} * 32 * (2 * static_cast<std::size_t>(pieces) + static_cast<std::size_t>(state));
}

struct Shared {
  Piece* pieces;   // [2][pieces][32]
  float* carried;  // [2][N][32]
  float* own;      // behind them

  __device__ explicit Shared(const Place& place)
      : pieces(shared_memory<Piece>()),
        carried(reinterpret_cast<float*>(pieces + 2 * place.pieces * 32)),
        own(carried + 2 * place.all_states * 32) {}
};

// The state of one n at the beginning of this thread's piece, in the order of the pieces, where `alone` is what the
// piece makes of a state; first() is the state before all. The whole block.
template <typename First>
__device__ __forceinline__ float through_pieces(const Place& place, const Shared& shared, int round, int n,
                                                const Piece& alone, const First& first) {
  // One barrier is enough: who writes this half again has met the others at the next n's.
  Piece* pieces = shared.pieces + (round * place.all_states + n) % 2 * place.pieces * 32;
  float* carried = shared.carried + n * 32 + place.lane;
  const int next = place.all_states * 32;
  pieces[place.in_shared(place.piece)] = alone;
  float h = round == 0 ? first() : 0.0F;  // before the barrier: the last state may take its place
  __syncthreads();
  if (round > 0) h = carried[round % 2 * next];
  float at_begin = h;
  for (int piece = 0; piece < place.pieces; ++piece) {
    if (piece == place.piece) at_begin = h;
    const Piece other = pieces[place.in_shared(piece)];
    h = fmaf(other.a, h, other.b);
  }
  if (place.piece == 0) carried[(round + 1) % 2 * next] = h;
  return at_begin;
}

// Steps beyond the last, and lanes beyond the last channel, have delta = 0 and x = 0, which leave a state as it is.
__global__ void __launch_bounds__(most_pieces * 32)
    forward_kernel(int length, int channels, int state, const float* __restrict__ x, const float* __restrict__ delta,
                   const float* __restrict__ A, const float* __restrict__ B, const float* __restrict__ C,
                   const float* __restrict__ D, const float* initial, float* __restrict__ y, float* last,
                   float* __restrict__ checkpoints) {
  const Place place(length, channels, state);
  const Shared shared(place);
  const float skip = place.inside ? D[place.channel] : 0.0F;
  for (int first = 0, round = 0; first < length; first += place.pieces * steps, ++round) {
    const int begin = first + place.piece * steps;
    const int count = place.inside ? min(steps, length - begin) : 0;  // may be negative
    float own_delta[steps];
    float input[steps];
    float sum[steps];
    float delta_sum = 0;
    for (int i = 0; i < steps; ++i) {
      const bool there = i < count;
      const float own_x = there ? x[place.step(begin + i)] : 0.0F;
      own_delta[i] = there ? delta[place.step(begin + i)] : 0.0F;
      input[i] = own_delta[i] * own_x;
      sum[i] = skip * own_x;
      delta_sum += own_delta[i];
    }
    for (int n = 0; n < state; ++n) {
      const float rate = place.inside ? A[place.channel * std::ptrdiff_t{state} + n] : 0.0F;
      float a[steps];
      Piece alone = {expf(delta_sum * rate), 0};
      for (int i = 0; i < steps; ++i) {
        a[i] = expf(own_delta[i] * rate);
        const float b = i < count ? B[place.row(begin + i) + n] : 0.0F;
        alone.b = fmaf(a[i], alone.b, input[i] * b);
      }
      float h = through_pieces(place, shared, round, n, alone,
                               [&] { return place.inside ? initial[place.of_state + n] : 0.0F; });
      if (count > 0 && checkpoints != nullptr) checkpoints[place.checkpoint(begin / steps, n)] = h;
      for (int i = 0; i < steps; ++i) {
        if (i >= count) continue;
        h = fmaf(a[i], h, input[i] * B[place.row(begin + i) + n]);
        sum[i] = fmaf(C[place.row(begin + i) + n], h, sum[i]);
      }
      if (count > 0 && begin + count == length) last[place.of_state + n] = h;
    }
    for (int i = 0; i < steps; ++i) {
      if (i < count) y[place.step(begin + i)] = sum[i];
    }
  }
}

// Of 16 values that each lane has, the sums over the 32 lanes: lane l gets that of value l % 16. In each round half of
// the values go to the lane that keeps them, and half come from there.
__device__ __forceinline__ float sums_of_steps(float (&values)[steps], int lane) {
  for (int half = steps / 2; half > 0; half /= 2) {
    const bool upper = (lane & half) != 0;
    for (int i = 0; i < steps / 2; ++i) {
      if (i >= half) continue;
      const float sent = upper ? values[i] : values[i + half];
      const float kept = upper ? values[i + half] : values[i];
      values[i] = kept + __shfl_xor_sync(0xffffffff, sent, half);
    }
  }
  return values[0] + __shfl_xor_sync(0xffffffff, values[0], 16);
}

// With g_t the gradient of h_t:
//   g_t = dy_t C_t + a_{t+1} g_{t+1},  dC_t = sum dy_t h_t,  dB_t = sum g_t input_t,  d(input_t) = sum g_t B_t,
//   d(delta_t A) = g_t a_t h_{t-1}.
// Piece 0 of round 0 has the last 16 steps, piece 1 those before.
__global__ void __launch_bounds__(most_pieces * 32)
    backward_kernel(int length, int channels, int state, const float* __restrict__ x, const float* __restrict__ delta,
                    const float* __restrict__ A, const float* __restrict__ B, const float* __restrict__ C,
                    const float* __restrict__ D, const float* __restrict__ checkpoints, const float* __restrict__ dy,
                    const float* __restrict__ dstate, float* __restrict__ dx, float* __restrict__ ddelta,
                    float* __restrict__ dA, float* __restrict__ dB, float* __restrict__ dC, float* __restrict__ dD,
                    float* __restrict__ dinitial) {
  const Place place(length, channels, state);
  const Shared shared(place);
  float* rate_sums = shared.own + place.in_shared(place.piece);  // [N][pieces][32], this thread's
  float* skip_sums = shared.own + state * place.pieces * 32;     // [pieces][32]
  const int of_n = place.pieces * 32;
  const int all_pieces = (length + steps - 1) / steps;
  const int blocks = (channels + 31) / 32;
  const std::ptrdiff_t of_block = static_cast<std::ptrdiff_t>(blockIdx.x) % blocks *
                                  (static_cast<std::ptrdiff_t>(gridDim.x) / blocks) * length * state;
  const float skip = place.inside ? D[place.channel] : 0.0F;
  float skip_sum = 0;
  for (int n = 0; n < state; ++n) rate_sums[n * of_n] = 0;
  for (int first = 0, round = 0; first < all_pieces; first += place.pieces, ++round) {
    const int own_piece = all_pieces - 1 - first - place.piece;
    const int begin = own_piece * steps;
    const int in_time = own_piece < 0 ? 0 : min(steps, length - begin);
    const int count = place.inside ? in_time : 0;
    float own_delta[steps];
    float input[steps];
    float own_dy[steps];
    float through_delta[steps];  // what delta's gradient has by way of the factors
    float dinput[steps];
    float delta_sum = 0;
    for (int i = 0; i < steps; ++i) {
      const bool there = i < count;
      own_delta[i] = there ? delta[place.step(begin + i)] : 0.0F;
      input[i] = there ? own_delta[i] * x[place.step(begin + i)] : 0.0F;
      own_dy[i] = there ? dy[place.step(begin + i)] : 0.0F;
      through_delta[i] = 0;
      dinput[i] = 0;
      delta_sum += own_delta[i];
    }
    for (int n = 0; n < state; ++n) {
      const float rate = place.inside ? A[place.channel * std::ptrdiff_t{state} + n] : 0.0F;
      const float* own_B = B + place.row(begin) + n;
      const float* own_C = C + place.row(begin) + n;
      float before[steps];  // the state before each step
      float sums[steps];
      float h = count > 0 ? checkpoints[place.checkpoint(own_piece, n)] : 0.0F;
      for (int i = 0; i < steps; ++i) {
        before[i] = h;
        if (i < count) h = fmaf(expf(own_delta[i] * rate), h, input[i] * own_B[i * std::ptrdiff_t{state}]);
        sums[i] = own_dy[i] * h;
      }
      const float of_C = sums_of_steps(sums, place.lane);
      Piece alone = {expf(delta_sum * rate), 0};
      for (int i = steps - 1; i >= 0; --i) {
        const float read = i < count ? own_C[i * std::ptrdiff_t{state}] : 0.0F;
        alone.b = expf(own_delta[i] * rate) * fmaf(own_dy[i], read, alone.b);
      }
      float carried = through_pieces(place, shared, round, n, alone, [&] {
        return place.inside && dstate != nullptr ? dstate[place.of_state + n] : 0.0F;
      });
      float rate_sum = 0;
      for (int i = steps - 1; i >= 0; --i) {
        const bool there = i < count;
        const float g = there ? fmaf(own_dy[i], own_C[i * std::ptrdiff_t{state}], carried) : 0.0F;
        sums[i] = g * input[i];
        if (!there) continue;
        dinput[i] = fmaf(g, own_B[i * std::ptrdiff_t{state}], dinput[i]);
        carried = expf(own_delta[i] * rate) * g;
        const float through = carried * before[i];
        through_delta[i] = fmaf(through, rate, through_delta[i]);
        rate_sum = fmaf(through, own_delta[i], rate_sum);
      }
      rate_sums[n * of_n] += rate_sum;
      const float of_B = sums_of_steps(sums, place.lane);
      if (place.lane < in_time) {
        const std::ptrdiff_t at = of_block + place.row(begin + place.lane) + n;
        dB[at] = of_B;
        dC[at] = of_C;
      }
      if (count > 0 && own_piece == 0) dinitial[place.of_state + n] = carried;
    }
    for (int i = 0; i < steps; ++i) {
      if (i >= count) continue;
      const float own_x = x[place.step(begin + i)];
      dx[place.step(begin + i)] = fmaf(skip, own_dy[i], dinput[i] * own_delta[i]);
      ddelta[place.step(begin + i)] = fmaf(dinput[i], own_x, through_delta[i]);
      skip_sum = fmaf(own_dy[i], own_x, skip_sum);
    }
  }
  skip_sums[place.in_shared(place.piece)] = skip_sum;
  __syncthreads();
  if (!place.inside) return;
  const auto sum_of_pieces = [&](const float* sums) {
    float sum = 0;
    for (int piece = 0; piece < place.pieces; ++piece) sum += sums[place.in_shared(piece)];
    return sum;
  };
  for (int n = place.piece; n < state; n += place.pieces) dA[place.of_state + n] = sum_of_pieces(shared.own + n * of_n);
  if (place.piece == 0)
    dD[static_cast<std::ptrdiff_t>(place.sequence) * channels + place.channel] = sum_of_pieces(skip_sums);
}

struct Extents {
  int batch, length, channels, state;
};

Extents checked(const cpu::SelectiveScanSizes& sizes) {
  const char* family = "selective_scan";
  return {extent(family, "batch", sizes.batch), extent(family, "length", sizes.length),
          extent(family, "channels", sizes.channels), extent(family, "state", sizes.state)};
}

// Of the backward pass: with the sums of A's gradients, and of D's, of each piece.
std::size_t backward_floats(int pieces, int state) {
  return shared_floats(pieces, state) + std::size_t{32} * pieces * (static_cast<std::size_t>(state) + 1);
}

// As many pieces as time has, at most 8, of which a block's shared memory has room for.
template <typename Floats>
LaunchShape shape_of(const char* kernel, const Extents& sizes, const Floats& floats) {
  const int wanted = std::clamp(sizes.length / steps + (sizes.length % steps > 0 ? 1 : 0), 1, most_pieces);
  for (int pieces = wanted; pieces > 0; --pieces) {
    const std::size_t bytes = floats(pieces, sizes.state) * sizeof(float);
    if (bytes > device().shared_bytes_per_block) continue;
    return {.kernel = kernel,
            .blocks = sizes.length == 0 ? 0 : std::uint64_t{1} * sizes.batch * ((sizes.channels + 31) / 32),
            .threads = static_cast<unsigned>(pieces) * 32,
            .shared_bytes = bytes};
  }
  throw Error("{} on {}: states of {} numbers need {} bytes of shared memory, of which a block can have {}", kernel,
              device().name, sizes.state, floats(1, sizes.state) * sizeof(float), device().shared_bytes_per_block);
}

LaunchShape forward_shape(const Extents& sizes) {
  return shape_of("selective_scan_forward", sizes, shared_floats);
}

LaunchShape backward_shape(const Extents& sizes) {
  return shape_of("selective_scan_backward", sizes, backward_floats);
}

}  // namespace

LaunchShape selective_scan_forward_kernel(const cpu::SelectiveScanSizes& sizes) {
  return forward_shape(checked(sizes));
}

LaunchShape selective_scan_backward_kernel(const cpu::SelectiveScanSizes& sizes) {
  return backward_shape(checked(sizes));
}

bool selective_scan_has_room(const cpu::SelectiveScanSizes& sizes) {
  return backward_floats(1, checked(sizes).state) * sizeof(float) <= device().shared_bytes_per_block;
}

std::int64_t selective_scan_blocks(const cpu::SelectiveScanSizes& sizes) {
  return (checked(sizes).channels + 31) / 32;
}

void selective_scan_forward(const cpu::SelectiveScanSizes& sizes, const cpu::SelectiveScanInputs<float>& inputs,
                            const cpu::SelectiveScanOutputs<float>& outputs, Stream& stream) {
  const Extents extents = checked(sizes);
  launch_shape(forward_kernel, forward_shape(extents), stream, extents.length, extents.channels, extents.state,
               inputs.x, inputs.delta, inputs.A, inputs.B, inputs.C, inputs.D, inputs.initial, outputs.y, outputs.state,
               outputs.checkpoints);
}

void selective_scan_backward(const cpu::SelectiveScanSizes& sizes, const cpu::SelectiveScanInputs<float>& inputs,
                             const float* checkpoints, const float* dy, const float* dstate,
                             const cpu::SelectiveScanGradients<float>& into, Stream& stream) {
  const Extents extents = checked(sizes);
  launch_shape(backward_kernel, backward_shape(extents), stream, extents.length, extents.channels, extents.state,
               inputs.x, inputs.delta, inputs.A, inputs.B, inputs.C, inputs.D, checkpoints, dy, dstate, into.x,
               into.delta, into.A, into.B, into.C, into.D, into.initial);
}

}  // namespace zoo::gpu
