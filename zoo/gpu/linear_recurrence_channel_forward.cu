#include "zoo/gpu/linear_recurrence_channel.h"

namespace zoo::gpu::recurrence {

namespace {

struct SumsShared {
  Matrix a;
  Matrix b;
  Matrix logs;
};

// A block computes 64 x 64 cells of one chunk and head, a warp 16 rows of them.
template <typename Format>
__global__ void __launch_bounds__(threads)
    sums_kernel(Extents sizes, bool to_end, bool before, const float* __restrict__ a, const float* __restrict__ b,
                const float* __restrict__ log_decay, float* __restrict__ states, float* __restrict__ wholes) {
  auto& shared = *shared_memory<SumsShared>();
  const ChunkOfHead at = chunk_of_block(sizes);
  const int first = at.first_step();
  const int slices = blocks_of(sizes.dv, chunk);
  const int i0 = static_cast<int>(blockIdx.y) / slices * chunk;
  const int j0 = static_cast<int>(blockIdx.y) % slices * chunk;
  const int rows = min(chunk, sizes.dk - i0);
  const int columns = min(chunk, sizes.dv - j0);

  begin_copy(shared.logs, pitch, chunk, log_decays(sizes, log_decay, at.sequence, first, at.head, i0));
  load(shared.a, sizes.steps(a, at.sequence, first, sizes.groups, sizes.group_of(at.head), sizes.dk, i0), shared.b,
       sizes.steps(b, at.sequence, first, sizes.heads, at.head, sizes.dv, j0));
  if (const int i = static_cast<int>(threadIdx.x); i < chunk) {
    // Each factor is the exponential of a sum over the steps between.
    float sum = 0;
    for (int n = 0; n < chunk; ++n) {
      const int own = (to_end ? chunk - 1 - n : n) * pitch + i;
      const float updated = sum + shared.logs[own];
      shared.a[own] *= expf(to_end || before ? sum : updated);
      sum = updated;
    }
    if (wholes != nullptr && j0 == 0 && i < rows) wholes[at.index(sizes) * sizes.dk + i0 + i] = expf(sum);
  }
  __syncthreads();
  if (own_row() >= rows) return;
  TileC sums[tiles];
  multiply<Format>(
      sums, 0, min(chunk, sizes.length - first), columns,
      [&](int i, int t) { return shared.a[t * pitch + own_row() + i]; },
      [&](int t, int j) { return shared.b[t * pitch + j]; });
  float* into = states + at.index(sizes) * sizes.cells() + static_cast<std::ptrdiff_t>(i0) * sizes.dv + j0;
  for_elements(sums, own_row(), [&](int i, int j, float sum) {
    if (i < rows && j < columns) into[static_cast<std::ptrdiff_t>(i) * sizes.dv + j] = sum;
  });
}

struct ForwardShared {
  Matrix a;
  Matrix b;
  Matrix scores;
  ChannelDecays decays;
};

// 64 columns of the outputs of one chunk and head.
template <typename Format>
__global__ void __launch_bounds__(threads)
    outputs_kernel(Extents sizes, const float* __restrict__ q, const float* __restrict__ k, const float* __restrict__ v,
                   const float* __restrict__ log_decay, const float* __restrict__ bonus,
                   const float* __restrict__ states, float* __restrict__ y) {
  auto& shared = *shared_memory<ForwardShared>();
  ChannelDecays& decays = shared.decays;
  const ChunkOfHead at = chunk_of_block(sizes);
  const int group = sizes.group_of(at.head);
  const int first = at.first_step();
  const int j0 = static_cast<int>(blockIdx.y) * chunk;
  const int columns = min(chunk, sizes.dv - j0);
  const int t0 = own_row();
  const int sub = t0 / sub_chunk;

  TileC between[tiles];
  TileC sums[tiles];
  for (int i0 = 0; i0 < sizes.dk; i0 += chunk) {
    const int width = min(chunk, sizes.dk - i0);
    load(decays.step, log_decays(sizes, log_decay, at.sequence, first, at.head, i0));
    load(shared.a, sizes.steps(q, at.sequence, first, sizes.groups, group, sizes.dk, i0), shared.b,
         sizes.steps(k, at.sequence, first, sizes.groups, group, sizes.dk, i0));
    exponentiate(decays);
    const float* own_bonus = bonus == nullptr ? nullptr : bonus + static_cast<std::ptrdiff_t>(at.head) * sizes.dk + i0;
    add_scores<Format>(decays, shared.a, shared.b, own_bonus, width, i0 == 0, shared.scores, between);
    load(decays.step, sizes.state(states, at.own_chunk, at.sequence, at.head, i0, j0));
    multiply<Format>(
        sums, 0, width, columns,
        [&](int t, int i) { return shared.a[(t0 + t) * pitch + i] * decays.through[0][sub][i]; },
        [&](int i, int j) { return decays.step[i * pitch + j]; });
  }
  store_between(between, shared.scores);
  const Rows values = sizes.steps(v, at.sequence, first, sizes.heads, at.head, sizes.dv, j0);
  load(shared.a, values);
  multiply<Format>(
      sums, 0, t0 + sub_chunk, columns, [&](int t, int s) { return shared.scores[(t0 + t) * pitch + s]; },
      [&](int s, int j) { return shared.a[s * pitch + j]; });
  for_elements(sums, t0, [&](int t, int j, float sum) {
    if (t >= values.count || j >= columns) return;
    y[at.step(sizes, t) * sizes.dv + j0 + j] = sum;
  });
}

LaunchShape channel_outputs_shape(const Extents& sizes) {
  const auto slices = static_cast<unsigned>(blocks_of(sizes.dv, chunk));
  return {.kernel = "linear_recurrence_channel_outputs",
          .blocks = std::uint64_t{1} * sizes.batch * sizes.heads * sizes.chunks() * slices,
          .slices = slices,
          .threads = threads,
          .shared_bytes = sizeof(ForwardShared)};
}

}  // namespace

LaunchShape begin_channel_states_shape(const Extents& sizes) {
  const auto slices = static_cast<unsigned>(blocks_of(sizes.dk, chunk) * blocks_of(sizes.dv, chunk));
  return {.kernel = "linear_recurrence_channel_sums",
          .blocks = std::uint64_t{1} * sizes.batch * sizes.heads * sizes.chunks() * slices,
          .slices = slices,
          .threads = threads,
          .shared_bytes = sizeof(SumsShared)};
}

void begin_channel_states(const Extents& sizes, bool to_end, bool before, const float* a, const float* b,
                          const float* log_decay, float* states, float* wholes, Precision precision, Stream& stream) {
  with_format(precision, [&](auto format) {
    launch_shape(sums_kernel<decltype(format)>, begin_channel_states_shape(sizes), stream, sizes, to_end, before, a, b,
                 log_decay, states, wholes);
  });
}

void channel_forward(const Extents& sizes, const cpu::RecurrenceInputs<float>& inputs,
                     const cpu::RecurrenceOutputs<float>& outputs, Precision precision, Stream& stream) {
  float* states = outputs.checkpoints;
  float* wholes = states + sizes.states();
  begin_channel_states(sizes, /*to_end=*/true, /*before=*/false, inputs.k, inputs.v, inputs.log_decay, states, wholes,
                       precision, stream);
  scan_states(sizes, /*backward=*/false, inputs.initial, wholes, states, outputs.state, stream);
  with_format(precision, [&](auto format) {
    launch_shape(outputs_kernel<decltype(format)>, channel_outputs_shape(sizes), stream, sizes, inputs.q, inputs.k,
                 inputs.v, inputs.log_decay, inputs.bonus, states, outputs.y);
  });
}

std::vector<LaunchShape> channel_forward_kernels(const Extents& sizes) {
  return {begin_channel_states_shape(sizes), scan_states_shape(sizes), channel_outputs_shape(sizes)};
}

}  // namespace zoo::gpu::recurrence
