#include "zoo/gpu/linear_recurrence.h"
#include "zoo/gpu/linear_recurrence_channel.h"
#include "zoo/gpu/linear_recurrence_chunk.h"

namespace zoo::gpu {

namespace {

using namespace recurrence;

struct ForwardShared {
  Matrix a;
  Matrix b;
  Factors factors;
};

// 64 columns of the outputs of one chunk and head: what the queries read of the state before the chunk, and, as masked
// attention without softmax, of the chunk's own steps.
template <typename Format>
__global__ void __launch_bounds__(threads)
    outputs_kernel(Extents sizes, const float* __restrict__ q, const float* __restrict__ k, const float* __restrict__ v,
                   const float* __restrict__ log_decay, const float* __restrict__ step, const float* __restrict__ skip,
                   const float* __restrict__ states, float* __restrict__ y) {
  auto& shared = *shared_memory<ForwardShared>();
  Factors& factors = shared.factors;
  const ChunkOfHead at = chunk_of_block(sizes);
  const int group = sizes.group_of(at.head);
  const int first = at.first_step();
  const int j0 = static_cast<int>(blockIdx.y) * chunk;
  const int columns = min(chunk, sizes.dv - j0);
  const int t0 = own_row();
  const int seen = t0 + tile_rows;  // steps of the chunk that the warp's rows can read
  const auto a_row = [&](int t, int i) { return shared.a[(t0 + t) * pitch + i]; };
  const auto b_row = [&](int t, int s) { return shared.b[(t0 + t) * pitch + s]; };

  fill(sizes, log_decay, step, at.sequence, at.head, first, factors);
  TileC scores[tiles];
  TileC sums[tiles];
  for (int i0 = 0; i0 < sizes.dk; i0 += chunk) {
    const int width = min(chunk, sizes.dk - i0);
    load(shared.a, sizes.steps(q, at.sequence, first, sizes.groups, group, sizes.dk, i0), shared.b,
         sizes.steps(k, at.sequence, first, sizes.groups, group, sizes.dk, i0));
    multiply<Format>(scores, 0, width, seen, a_row, [&](int i, int s) { return shared.b[s * pitch + i]; });
    load(shared.b, sizes.state(states, at.own_chunk, at.sequence, at.head, i0, j0));
    multiply<Format>(sums, 0, width, columns, a_row, [&](int i, int j) { return shared.b[i * pitch + j]; });
  }
  for_elements(sums, t0, [&](int t, int, float& sum) { sum *= factors.from_start[t]; });

  const Rows values = sizes.steps(v, at.sequence, first, sizes.heads, at.head, sizes.dv, j0);
  __syncthreads();
  begin_copy(shared.a, pitch, chunk, values);
  copy_async_commit();
  for_elements(scores, t0, [&](int t, int s, float score) {
    // By selection: a step to come may be infinite, and 0 times it would not be 0.
    const float factor = factors.between[t * pitch + s];
    shared.b[t * pitch + s] = factor > 0 ? score * factor * factors.step[s] : 0.0F;
  });
  copy_async_wait<0>();
  __syncthreads();
  multiply<Format>(sums, 0, seen, columns, b_row, [&](int s, int j) { return shared.a[s * pitch + j]; });

  const float past = skip == nullptr ? 0.0F : skip[at.head];
  for_elements(sums, t0, [&](int t, int j, float sum) {
    if (t >= values.count || j >= columns) return;
    y[at.step(sizes, t) * sizes.dv + j0 + j] = fmaf(past, shared.a[t * pitch + j], sum);
  });
}

}  // namespace

namespace recurrence {

LaunchShape outputs_shape(const Extents& sizes) {
  const auto slices = static_cast<unsigned>(blocks_of(sizes.dv, chunk));
  return {.kernel = "linear_recurrence_outputs",
          .blocks = std::uint64_t{1} * sizes.batch * sizes.heads * sizes.chunks() * slices,
          .slices = slices,
          .threads = threads,
          .shared_bytes = sizeof(ForwardShared)};
}

void read_outputs(const Extents& sizes, const cpu::RecurrenceInputs<float>& inputs, const float* states, float* y,
                  Precision precision, Stream& stream) {
  with_format(precision, [&](auto format) {
    launch_shape(outputs_kernel<decltype(format)>, outputs_shape(sizes), stream, sizes, inputs.q, inputs.k, inputs.v,
                 inputs.log_decay, inputs.step, inputs.skip, states, y);
  });
}

}  // namespace recurrence

void linear_recurrence_forward(const cpu::RecurrenceSizes& sizes, const cpu::RecurrenceInputs<float>& inputs,
                               const cpu::RecurrenceOutputs<float>& outputs, Precision precision, Stream& stream) {
  const Extents extents = checked(sizes, inputs);
  if (extents.decay == cpu::RecurrenceDecay::channel_and_step)
    return channel_forward(extents, inputs, outputs, precision, stream);
  float* states = outputs.checkpoints;
  float* wholes = states + extents.states();
  begin_states(extents, /*to_end=*/true, inputs.k, inputs.v, inputs.log_decay, inputs.step, states, wholes, precision,
               stream);
  scan_states(extents, /*backward=*/false, inputs.initial, wholes, states, outputs.state, stream);
  read_outputs(extents, inputs, states, outputs.y, precision, stream);
}

std::int64_t linear_recurrence_checkpoints(const cpu::RecurrenceSizes& sizes, cpu::RecurrenceDecay decay) {
  const Extents extents = checked(sizes, decay);
  return extents.states() + extents.chunks() * extents.all_heads() * extents.factors();
}

std::vector<LaunchShape> linear_recurrence_forward_kernels(const cpu::RecurrenceSizes& sizes,
                                                           cpu::RecurrenceDecay decay) {
  const Extents extents = checked(sizes, decay);
  if (decay == cpu::RecurrenceDecay::channel_and_step) return channel_forward_kernels(extents);
  return {begin_states_shape(extents), scan_states_shape(extents), outputs_shape(extents)};
}

}  // namespace zoo::gpu
