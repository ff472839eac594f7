#include "zoo/gpu/delta_rule.h"
#include "zoo/gpu/delta_rule_chunk.h"
#include "zoo/gpu/linear_recurrence_flows.h"

namespace zoo::gpu {

namespace {

using namespace recurrence;

struct BackwardShared {
  Matrix a;
  Matrix b;
  Matrix dP;                // by the queries' scores, at [t][s]
  Matrix dM;                // by the keys'
  Factors factors;          // `between` becomes what flows from step s to step t
  float from_state[chunk];  // what flows from the state before the chunk to a step
  float to_state[chunk];    // from a step to the state after the chunk
  float warp_sums[threads / 32];
};

struct Inputs {
  const float* q;
  const float* k;
  const float* dy;
  const float* u;
  const float* de;
  const float* states;   // before each chunk
  const float* dstates;  // the gradients of those after each chunk
};

// The chunk of a block, and its rows.
struct Place : ChunkOfHead {
  __device__ explicit Place(const Extents& sizes) : ChunkOfHead(chunk_of_block(sizes)) {}

  __device__ Rows keys(const Extents& sizes, const float* tensor, int i0) const {
    return sizes.steps(tensor, sequence, first_step(), sizes.heads, head, sizes.dk, i0);
  }
  __device__ Rows values(const Extents& sizes, const float* tensor, int j0) const {
    return sizes.steps(tensor, sequence, first_step(), sizes.heads, head, sizes.dv, j0);
  }
  __device__ Rows state(const Extents& sizes, const float* states, int i0, int j0) const {
    return sizes.state(states, own_chunk, sequence, head, i0, j0);
  }
};

// a_t . b_s for the warp's 16 steps t and all before, summed over columns in slices that load(column) brings.
template <typename Format, typename Load>
__device__ __forceinline__ void add_pairs(TileC (&sums)[tiles], int width, const BackwardShared& shared,
                                          const Load& load_slice) {
  for (int at = 0; at < width; at += chunk) {
    load_slice(at);
    multiply<Format>(
        sums, 0, min(chunk, width - at), own_row() + tile_rows,
        [&](int t, int i) { return shared.a[(own_row() + t) * pitch + i]; },
        [&](int i, int s) { return shared.b[s * pitch + i]; });
  }
}

// Calls body(t, s, place, i, tile) for the pairs that this lane holds.
template <typename Body>
__device__ __forceinline__ void for_pairs(const Body& body) {
  for (int tile = 0; tile < tiles; ++tile) {
    for (int i = 0; i < 4; ++i) {
      const int t = own_row() + TileC::row(i);
      const int s = tile * tile_columns + TileC::column(i);
      body(t, s, t * pitch + s, tile, i);
    }
  }
}

// dP, dM, beta's gradients, and what flows between the steps. Factors are applied by selection: a step to come may be
// infinite, and 0 times it would not be 0.
template <typename Format>
__device__ __forceinline__ void fill_pairs(const Extents& sizes, const Place& at, const Inputs& in,
                                           BackwardShared& shared, float* __restrict__ dbeta) {
  {
    TileC scores[tiles];
    TileC gradients[tiles];
    add_pairs<Format>(scores, sizes.dk, shared,
                      [&](int i0) { load(shared.a, at.keys(sizes, in.q, i0), shared.b, at.keys(sizes, in.k, i0)); });
    add_pairs<Format>(gradients, sizes.dv, shared, [&](int j0) {
      load(shared.a, at.values(sizes, in.dy, j0), shared.b, at.values(sizes, in.u, j0));
    });
    for_pairs([&](int, int s, int place, int tile, int i) {
      const float factor = shared.factors.between[place];
      const float gradient = factor > 0 ? gradients[tile].values[i] * factor * shared.factors.step[s] : 0.0F;
      shared.dP[place] = gradient;
      shared.dM[place] = factor > 0 ? scores[tile].values[i] * gradient : 0.0F;  // the flow, until dM is there
    });
  }
  TileC scores[tiles];
  TileC gradients[tiles];
  add_pairs<Format>(scores, sizes.dk, shared,
                    [&](int i0) { load(shared.a, at.keys(sizes, in.k, i0), shared.b, at.keys(sizes, in.k, i0)); });
  add_pairs<Format>(gradients, sizes.dv, shared,
                    [&](int j0) { load(shared.a, at.values(sizes, in.de, j0), shared.b, at.values(sizes, in.u, j0)); });
  for_pairs([&](int t, int s, int place, int tile, int i) {
    if (t == s && at.first_step() + t < sizes.length) dbeta[at.step(sizes, t)] = gradients[tile].values[i];
    const float factor = shared.factors.between[place];
    const bool before = factor > 0 && s < t;
    const float rates = shared.factors.step[t] * shared.factors.step[s];
    const float gradient = before ? -gradients[tile].values[i] * factor * rates : 0.0F;
    const float flow = shared.dM[place];
    shared.dM[place] = gradient;
    shared.factors.between[place] = before ? fmaf(scores[tile].values[i], gradient, flow) : flow;
  });
}

// sums = a S^T of the warp's steps, for 64 columns of keys; a [B,T,H,dv].
template <typename Format>
__device__ __forceinline__ void through_state(TileC (&sums)[tiles], const Extents& sizes, const Place& at,
                                              const float* a, const float* states, int i0, BackwardShared& shared) {
  for (int j0 = 0; j0 < sizes.dv; j0 += chunk) {
    load(shared.a, at.values(sizes, a, j0), shared.b, at.state(sizes, states, i0, j0));
    multiply<Format>(
        sums, 0, min(chunk, sizes.dv - j0), min(chunk, sizes.dk - i0),
        [&](int t, int j) { return shared.a[(own_row() + t) * pitch + j]; },
        [&](int j, int i) { return shared.b[i * pitch + j]; });
  }
}

// Scales each step's sums by factor(t), and adds their products with the rows in shared.a to the steps' flows.
template <typename Factor>
__device__ __forceinline__ void scale_and_flow(TileC (&sums)[tiles], const BackwardShared& shared, const Factor& factor,
                                               float (&flows)[2]) {
  for_pairs([&](int t, int, int place, int tile, int i) {
    float& sum = sums[tile].values[i];
    sum *= factor(t);
    flows[i / 2] = fmaf(sum, shared.a[place], flows[i / 2]);
  });
}

template <typename Format>
__device__ __forceinline__ void store_keys(TileC (&sums)[tiles], const Extents& sizes, const Place& at, int i0,
                                           float* __restrict__ into) {
  for_elements(sums, own_row(), [&](int t, int i, float sum) {
    if (at.first_step() + t < sizes.length && i0 + i < sizes.dk) into[at.step(sizes, t) * sizes.dk + i0 + i] = sum;
  });
}

// dq_t = D_t dy_t S_0^T + sum_s dP_ts k_s
// dk_s = D_ns e_s G^T - D_s du_s S_0^T + sum_t (dP_ts q_t + dM_ts k_t + dM_st k_t)
template <typename Format>
__device__ __forceinline__ void key_gradients(const Extents& sizes, const Place& at, const Inputs& in,
                                              BackwardShared& shared, float* __restrict__ dq, float* __restrict__ dk) {
  const Factors& factors = shared.factors;
  const int t0 = own_row();
  const int seen = t0 + tile_rows;
  const auto a = [&](int t, int i) { return shared.a[t * pitch + i]; };
  const auto b = [&](int t, int i) { return shared.b[t * pitch + i]; };
  float from_state[2] = {0, 0};
  float to_state[2] = {0, 0};
  for (int i0 = 0; i0 < sizes.dk; i0 += chunk) {
    const int columns = min(chunk, sizes.dk - i0);
    {
      TileC sums[tiles];
      through_state<Format>(sums, sizes, at, in.dy, in.states, i0, shared);
      load(shared.a, at.keys(sizes, in.q, i0), shared.b, at.keys(sizes, in.k, i0));
      scale_and_flow(
          sums, shared, [&](int t) { return factors.from_start[t]; }, from_state);
      multiply<Format>(
          sums, 0, seen, columns, [&](int t, int s) { return shared.dP[(t0 + t) * pitch + s]; }, b);
      store_keys<Format>(sums, sizes, at, i0, dq);
    }
    TileC written[tiles];
    TileC sums[tiles];
    through_state<Format>(written, sizes, at, in.u, in.dstates, i0, shared);
    through_state<Format>(sums, sizes, at, in.de, in.states, i0, shared);
    load(shared.a, at.keys(sizes, in.k, i0), shared.b, at.keys(sizes, in.q, i0));
    scale_and_flow(
        written, shared, [&](int s) { return factors.to_end[s] * factors.step[s]; }, to_state);
    scale_and_flow(
        sums, shared, [&](int s) { return -factors.from_start[s] * factors.step[s]; }, from_state);
    for_pairs([&](int, int, int, int tile, int i) { sums[tile].values[i] += written[tile].values[i]; });
    multiply<Format>(
        sums, t0, chunk, columns, [&](int s, int t) { return shared.dP[t * pitch + t0 + s]; }, b);
    multiply<Format>(
        sums, t0, chunk, columns, [&](int s, int t) { return shared.dM[t * pitch + t0 + s]; }, a);
    multiply<Format>(
        sums, 0, seen, columns, [&](int s, int t) { return shared.dM[(t0 + s) * pitch + t]; }, a);
    store_keys<Format>(sums, sizes, at, i0, dk);
  }
  store_row_sums(from_state, shared.from_state);
  store_row_sums(to_state, shared.to_state);
}

template <typename Format>
__global__ void __launch_bounds__(threads, 2)
    gradients_kernel(Extents sizes, Inputs in, const float* __restrict__ beta, const float* __restrict__ log_decay,
                     float* __restrict__ dq, float* __restrict__ dk, float* __restrict__ dbeta,
                     float* __restrict__ dlog_decay) {
  auto& shared = *shared_memory<BackwardShared>();
  const Place at(sizes);
  fill(sizes, log_decay, beta, at.sequence, at.head, at.first_step(), shared.factors);
  fill_pairs<Format>(sizes, at, in, shared, dbeta);
  key_gradients<Format>(sizes, at, in, shared, dq, dk);
  if (dlog_decay != nullptr) decay_gradients(sizes, at, in.states, in.dstates, shared, dlog_decay);
}

LaunchShape gradients_shape(const Extents& sizes) {
  return {.kernel = "delta_rule_gradients",
          .blocks = std::uint64_t{1} * sizes.batch * sizes.heads * sizes.chunks(),
          .threads = threads,
          .shared_bytes = sizeof(BackwardShared)};
}

}  // namespace

std::int64_t delta_rule_backward_workspace(const cpu::DeltaRuleSizes& sizes) {
  return delta::checked(sizes, false).states() + sizes.batch * sizes.length * sizes.heads * (sizes.dk + sizes.dv);
}

void delta_rule_backward(const cpu::DeltaRuleSizes& sizes, const cpu::DeltaRuleInputs<float>& inputs,
                         const cpu::DeltaRuleOutputs<const float>& output_gradients, const float* checkpoints,
                         const cpu::DeltaRuleGradients<float>& gradients, float* workspace, Precision precision,
                         Stream& stream) {
  const Extents extents = delta::checked(sizes, inputs.log_decay != nullptr);
  const float* dy = output_gradients.y;
  float* dstates = workspace;
  float* de = dstates + extents.states();
  const delta::Solved solved = {de, de + sizes.batch * sizes.length * sizes.heads * sizes.dv};
  delta::solve_backward(extents, inputs, dy, solved, precision, stream);
  delta::walk_backward(extents, inputs, dy, output_gradients.state, solved, dstates, gradients.initial, gradients.v,
                       precision, stream);
  const Inputs in = {inputs.q, inputs.k, dy, checkpoints + extents.states(), de, checkpoints, dstates};
  with_format(precision, [&](auto format) {
    launch_shape(gradients_kernel<decltype(format)>, gradients_shape(extents), stream, extents, in, inputs.beta,
                 inputs.log_decay, gradients.q, gradients.k, gradients.beta, gradients.log_decay);
  });
}

std::vector<LaunchShape> delta_rule_backward_kernels(const cpu::DeltaRuleSizes& sizes) {
  const Extents extents = delta::checked(sizes, false);
  return {delta::solve_shape(extents), delta::walk_shape(extents), gradients_shape(extents)};
}

}  // namespace zoo::gpu
