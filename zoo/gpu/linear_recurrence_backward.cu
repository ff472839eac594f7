#include "zoo/gpu/linear_recurrence.h"
#include "zoo/gpu/linear_recurrence_channel.h"
#include "zoo/gpu/linear_recurrence_flows.h"

namespace zoo::gpu {

namespace {

using namespace recurrence;

struct BackwardShared {
  Matrix a;
  Matrix b;
  Matrix scores;            // q_t . k_s, decayed, at [t][s]
  Matrix score_gradients;   // dy_t . v_s, decayed, times the step of s
  Factors factors;          // `between` becomes the product of both, which is what flows from step s to step t
  float from_state[chunk];  // what flows from the state before the chunk to a step
  float to_state[chunk];    // from a step to the state after the chunk
  float warp_sums[threads / 32];
};

// One chunk of one head, and what is read and written there.
struct Place {
  int sequence, head, part, own_chunk, first;
  bool first_head;  // of the part, whose gradients of queries and keys the others add to

  __device__ std::ptrdiff_t of_head(const Extents& sizes) const {
    return static_cast<std::ptrdiff_t>(sequence) * sizes.heads + head;
  }
  // A step of a tensor [B,T,count,...] at `index`.
  __device__ std::ptrdiff_t row(const Extents& sizes, int t, int count, int index) const {
    return (static_cast<std::ptrdiff_t>(sequence) * sizes.length + first + t) * count + index;
  }
};

struct Inputs {
  const float* q;
  const float* k;
  const float* v;
  const float* dy;
  const float* states;   // before each chunk
  const float* dstates;  // the gradients of those after each chunk
};

template <typename Format>
__device__ __forceinline__ void fill_scores(const Extents& sizes, const Place& at, const Inputs& in,
                                            BackwardShared& shared) {
  const int group = sizes.group_of(at.head);
  const int t0 = own_row();
  const auto a_row = [&](int t, int i) { return shared.a[(t0 + t) * pitch + i]; };
  const auto b_column = [&](int i, int s) { return shared.b[s * pitch + i]; };
  TileC scores[tiles];
  TileC gradients[tiles];
  for (int i0 = 0; i0 < sizes.dk; i0 += chunk) {
    load(shared.a, sizes.steps(in.q, at.sequence, at.first, sizes.groups, group, sizes.dk, i0), shared.b,
         sizes.steps(in.k, at.sequence, at.first, sizes.groups, group, sizes.dk, i0));
    multiply<Format>(scores, 0, min(chunk, sizes.dk - i0), t0 + tile_rows, a_row, b_column);
  }
  for (int j0 = 0; j0 < sizes.dv; j0 += chunk) {
    load(shared.a, sizes.steps(in.dy, at.sequence, at.first, sizes.heads, at.head, sizes.dv, j0), shared.b,
         sizes.steps(in.v, at.sequence, at.first, sizes.heads, at.head, sizes.dv, j0));
    multiply<Format>(gradients, 0, min(chunk, sizes.dv - j0), t0 + tile_rows, a_row, b_column);
  }
  for (int tile = 0; tile < tiles; ++tile) {
    for (int i = 0; i < 4; ++i) {
      const int s = tile * tile_columns + TileC::column(i);
      const int place = (t0 + TileC::row(i)) * pitch + s;
      // By selection: a step to come may be infinite, and 0 times it would not be 0.
      const float factor = shared.factors.between[place];
      const float score = scores[tile].values[i];
      const float gradient = factor > 0 ? gradients[tile].values[i] * factor * shared.factors.step[s] : 0.0F;
      shared.scores[place] = factor > 0 ? score * factor : 0.0F;
      shared.score_gradients[place] = gradient;
      shared.factors.between[place] = factor > 0 ? score * gradient : 0.0F;
    }
  }
}

// The gradients of queries (or of keys, `of_keys`): those by way of the states, factor_t S dy_t (factor_s G v_s), whose
// products with the queries (keys) are the flows from (to) the state, and those by way of the scores.
template <typename Format, bool of_keys>
__device__ __forceinline__ void key_gradients(const Extents& sizes, const Place& at, const Inputs& in,
                                              BackwardShared& shared, float* __restrict__ into) {
  const int group = sizes.group_of(at.head);
  const int t0 = own_row();
  const auto keys = [&](const float* tensor, int i0) {
    return sizes.steps(tensor, at.sequence, at.first, sizes.groups, group, sizes.dk, i0);
  };
  const auto a_row = [&](int t, int j) { return shared.a[(t0 + t) * pitch + j]; };
  float flows[2] = {0, 0};
  for (int i0 = 0; i0 < sizes.dk; i0 += chunk) {
    const int columns = min(chunk, sizes.dk - i0);
    TileC sums[tiles];
    for (int j0 = 0; j0 < sizes.dv; j0 += chunk) {
      load(shared.a, sizes.steps(of_keys ? in.v : in.dy, at.sequence, at.first, sizes.heads, at.head, sizes.dv, j0),
           shared.b, sizes.state(of_keys ? in.dstates : in.states, at.own_chunk, at.sequence, at.head, i0, j0));
      multiply<Format>(sums, 0, min(chunk, sizes.dv - j0), columns, a_row,
                       [&](int j, int i) { return shared.b[i * pitch + j]; });
    }
    load(shared.a, keys(of_keys ? in.k : in.q, i0), shared.b, keys(of_keys ? in.q : in.k, i0));
    for (int tile = 0; tile < tiles; ++tile) {
      for (int i = 0; i < 4; ++i) {
        const int t = t0 + TileC::row(i);
        float& sum = sums[tile].values[i];
        sum *= of_keys ? shared.factors.to_end[t] * shared.factors.step[t] : shared.factors.from_start[t];
        flows[i / 2] = fmaf(sum, shared.a[t * pitch + tile * tile_columns + TileC::column(i)], flows[i / 2]);
      }
    }
    const auto other = [&](int s, int i) { return shared.b[s * pitch + i]; };
    if constexpr (of_keys) {
      multiply<Format>(
          sums, t0, chunk, columns, [&](int s, int t) { return shared.score_gradients[t * pitch + t0 + s]; }, other);
    } else {
      multiply<Format>(
          sums, 0, t0 + tile_rows, columns, [&](int t, int s) { return shared.score_gradients[(t0 + t) * pitch + s]; },
          other);
    }
    for_elements(sums, t0, [&](int t, int i, float sum) {
      if (at.first + t >= sizes.length || i >= columns) return;
      float& gradient = into[at.row(sizes, t, sizes.groups * sizes.parts, at.part) * sizes.dk + i0 + i];
      gradient = at.first_head ? sum : gradient + sum;
    });
  }
  store_row_sums(flows, of_keys ? shared.to_state : shared.from_state);
}

// With g_s the gradient of step_s v_s: dv_s = step_s g_s + skip dy_s, dstep_s = v_s . g_s. Returns this lane's share of
// skip's gradient.
template <typename Format>
__device__ __forceinline__ float value_gradients(const Extents& sizes, const Place& at, const Inputs& in, float skip,
                                                 BackwardShared& shared, float* __restrict__ into,
                                                 float* __restrict__ dstep) {
  const int s0 = own_row();
  const auto values = [&](const float* tensor, int j0) {
    return sizes.steps(tensor, at.sequence, at.first, sizes.heads, at.head, sizes.dv, j0);
  };
  float along[2] = {0, 0};
  float through_skip = 0;
  for (int j0 = 0; j0 < sizes.dv; j0 += chunk) {
    const int columns = min(chunk, sizes.dv - j0);
    TileC sums[tiles];
    for (int i0 = 0; i0 < sizes.dk; i0 += chunk) {
      load(shared.a, sizes.steps(in.k, at.sequence, at.first, sizes.groups, sizes.group_of(at.head), sizes.dk, i0),
           shared.b, sizes.state(in.dstates, at.own_chunk, at.sequence, at.head, i0, j0));
      multiply<Format>(
          sums, 0, min(chunk, sizes.dk - i0), columns, [&](int s, int i) { return shared.a[(s0 + s) * pitch + i]; },
          [&](int i, int j) { return shared.b[i * pitch + j]; });
    }
    for_elements(sums, s0, [&](int s, int, float& sum) { sum *= shared.factors.to_end[s]; });
    load(shared.a, values(in.v, j0), shared.b, values(in.dy, j0));
    multiply<Format>(
        sums, s0, chunk, columns, [&](int s, int t) { return shared.scores[t * pitch + s0 + s]; },
        [&](int t, int j) { return shared.b[t * pitch + j]; });
    for (int tile = 0; tile < tiles; ++tile) {
      for (int i = 0; i < 4; ++i) {
        const int s = s0 + TileC::row(i);
        const int j = tile * tile_columns + TileC::column(i);
        const float written = sums[tile].values[i];
        const float value = shared.a[s * pitch + j];
        const float dy = shared.b[s * pitch + j];
        along[i / 2] = fmaf(value, written, along[i / 2]);
        through_skip = fmaf(value, dy, through_skip);
        if (at.first + s < sizes.length && j < columns)
          into[at.row(sizes, s, sizes.heads, at.head) * sizes.dv + j0 + j] =
              fmaf(skip, dy, shared.factors.step[s] * written);
      }
    }
  }
  for (int half = 0; half < 2; ++half) {
    const float sum = across_row(along[half], [](float a, float b) { return a + b; });
    const int s = s0 + TileC::row(2 * half);
    if (dstep != nullptr && TileC::column(0) == 0 && at.first + s < sizes.length)
      dstep[at.row(sizes, s, sizes.heads, at.head)] = sum;
  }
  return through_skip;
}

// All gradients of one chunk of the heads of a part, one after the other.
template <typename Format>
__global__ void __launch_bounds__(threads, 2)
    gradients_kernel(Extents sizes, const float* __restrict__ q, const float* __restrict__ k,
                     const float* __restrict__ v, const float* __restrict__ log_decay, const float* __restrict__ step,
                     const float* __restrict__ skip, const float* __restrict__ dy, const float* __restrict__ states,
                     const float* __restrict__ dstates, float* __restrict__ dq, float* __restrict__ dk,
                     float* __restrict__ dv, float* __restrict__ dlog_decay, float* __restrict__ dstep,
                     float* __restrict__ dskip) {
  auto& shared = *shared_memory<BackwardShared>();
  const Inputs in = {q, k, v, dy, states, dstates};
  const int block = static_cast<int>(blockIdx.x);
  const int parts = sizes.groups * sizes.parts;
  Place at = {};
  at.own_chunk = block % sizes.chunks();
  at.part = block / sizes.chunks() % parts;
  at.sequence = block / sizes.chunks() / parts;
  at.first = at.own_chunk * chunk;
  for (int member = 0; member < sizes.heads_a_part(); ++member) {
    at.head = at.part * sizes.heads_a_part() + member;
    at.first_head = member == 0;
    __syncthreads();  // all are done with the last head
    fill(sizes, log_decay, step, at.sequence, at.head, at.first, shared.factors);
    fill_scores<Format>(sizes, at, in, shared);
    key_gradients<Format, false>(sizes, at, in, shared, dq);
    key_gradients<Format, true>(sizes, at, in, shared, dk);
    const float past = skip == nullptr ? 0.0F : skip[at.head];
    const float through_skip = value_gradients<Format>(sizes, at, in, past, shared, dv, dstep);
    if (dlog_decay != nullptr)
      decay_gradients(sizes, {at.sequence, at.head, at.own_chunk}, in.states, in.dstates, shared, dlog_decay);
    if (dstep == nullptr) continue;
    const float sum = block_sum(through_skip, shared.warp_sums);
    if (threadIdx.x == 0) dskip[at.own_chunk * sizes.all_heads() + at.of_head(sizes)] = sum;
  }
}

LaunchShape gradients_shape(const Extents& sizes) {
  return {.kernel = "linear_recurrence_gradients",
          .blocks = std::uint64_t{1} * sizes.batch * sizes.groups * sizes.parts * sizes.chunks(),
          .threads = threads,
          .shared_bytes = sizeof(BackwardShared)};
}

}  // namespace

void linear_recurrence_backward(const cpu::RecurrenceSizes& sizes, const cpu::RecurrenceInputs<float>& inputs,
                                const cpu::RecurrenceOutputs<const float>& output_gradients,
                                const cpu::RecurrenceGradients<float>& gradients, float* scratch, Precision precision,
                                Stream& stream) {
  const Extents extents = checked(sizes, inputs);
  if ((inputs.step != nullptr) != (gradients.step != nullptr) ||
      (gradients.step == nullptr) != (gradients.skip == nullptr))
    throw Error(
        "linear_recurrence on the GPU: gradients of step and skip are wanted together, and where they are given");
  if (extents.decay == cpu::RecurrenceDecay::channel_and_step)
    return channel_backward(extents, inputs, output_gradients, gradients, scratch, precision, stream);
  const float* states = output_gradients.checkpoints;
  float* skip_sums = scratch + extents.states();
  begin_states(extents, /*to_end=*/false, inputs.q, output_gradients.y, inputs.log_decay, nullptr, scratch, nullptr,
               precision, stream);
  scan_states(extents, /*backward=*/true, output_gradients.state, states + extents.states(), scratch, gradients.initial,
              stream);
  with_format(precision, [&](auto format) {
    launch_shape(gradients_kernel<decltype(format)>, gradients_shape(extents), stream, extents, inputs.q, inputs.k,
                 inputs.v, inputs.log_decay, inputs.step, inputs.skip, output_gradients.y, states, scratch, gradients.q,
                 gradients.k, gradients.v, gradients.log_decay, gradients.step, skip_sums);
  });
  if (gradients.skip == nullptr) return;
  add_chunks(skip_sums, extents.chunks(), extents.all_heads(), gradients.skip, stream);
}

std::vector<LaunchShape> linear_recurrence_backward_kernels(const cpu::RecurrenceSizes& sizes,
                                                            cpu::RecurrenceDecay decay) {
  const Extents extents = checked(sizes, decay);
  if (decay == cpu::RecurrenceDecay::channel_and_step) return channel_backward_kernels(extents);
  return {begin_states_shape(extents), scan_states_shape(extents), gradients_shape(extents),
          add_chunks_shape(extents.all_heads())};
}

}  // namespace zoo::gpu
