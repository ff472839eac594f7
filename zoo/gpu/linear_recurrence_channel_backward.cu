#include "zoo/gpu/linear_recurrence_channel.h"
#include "zoo/gpu/warp.h"

namespace zoo::gpu::recurrence {

namespace {

struct BackwardShared {
  Matrix a;
  Matrix b;
  Matrix scores;  // q_t . k_s, decayed, at [t][s]; then dy_t . v_s
  ChannelDecays decays;
  // What flows through a sub-chunk, by channel: from all before it to a later sub-chunk, at [it][the later - 1]; ...
  float arriving[sub_chunks - 1][sub_chunks - 1][chunk];
  float leaving[sub_chunks]
               [chunk];            // ... from an earlier sub-chunk, at [the earlier], to the state after the chunk; ...
  float through[chunk];            // ... and from the state before to the state after the chunk.
  float bonus[sub_chunks][chunk];  // the bonus's gradient, of each sub-chunk
};

// What is read and what is written.
struct Inputs {
  const float* q;
  const float* k;
  const float* v;
  const float* log_decay;
  const float* bonus;
  const float* dy;
  const float* states;   // before each chunk
  const float* dstates;  // the gradients of those after each chunk
};

struct Outputs {
  float* q;
  float* k;
  float* v;
  float* log_decay;  // nullptr where nobody wants it
  float* bonus;      // of each chunk; likewise
};

struct Kernel {
  const Extents& sizes;
  const Inputs& in;
  const ChunkOfHead& at;
  BackwardShared& shared;

  __device__ Rows keys(const float* tensor, int i0) const {
    return sizes.steps(tensor, at.sequence, at.first_step(), sizes.groups, sizes.group_of(at.head), sizes.dk, i0);
  }
  __device__ Rows values(const float* tensor, int j0) const {
    return sizes.steps(tensor, at.sequence, at.first_step(), sizes.heads, at.head, sizes.dv, j0);
  }
  __device__ Rows state(const float* tensor, int i0, int j0) const {
    return sizes.state(tensor, at.own_chunk, at.sequence, at.head, i0, j0);
  }
  __device__ const float* bonus(int i0) const {
    return in.bonus == nullptr ? nullptr : in.bonus + static_cast<std::ptrdiff_t>(at.head) * sizes.dk + i0;
  }
  __device__ void load_channels(int i0) const {
    load(shared.decays.step, log_decays(sizes, in.log_decay, at.sequence, at.first_step(), at.head, i0));
    load(shared.a, keys(in.q, i0), shared.b, keys(in.k, i0));
    exponentiate(shared.decays);
    __syncthreads();  // all may read them when this returns
  }

  // dv_s by way of the state after the chunk, and of the scores, which are left behind.
  template <typename Format>
  __device__ void value_gradients(float* __restrict__ into) const {
    const int s0 = own_row();
    const int sub = s0 / sub_chunk;
    // Each lane adds to what it has written itself.
    const auto store = [&](TileC(&sums)[tiles], int j0, bool set) {
      for_elements(sums, s0, [&](int s, int j, float sum) {
        if (at.first_step() + s >= sizes.length || j0 + j >= sizes.dv) return;
        float& gradient = into[at.step(sizes, s) * sizes.dv + j0 + j];
        gradient = set ? sum : gradient + sum;
      });
    };
    TileC between[tiles];
    for (int i0 = 0; i0 < sizes.dk; i0 += chunk) {
      const int width = min(chunk, sizes.dk - i0);
      load_channels(i0);
      add_scores<Format>(shared.decays, shared.a, shared.b, bonus(i0), width, i0 == 0, shared.scores, between);
      for (int j0 = 0; j0 < sizes.dv; j0 += chunk) {
        load(shared.a, state(in.dstates, i0, j0));
        TileC sums[tiles];
        multiply<Format>(
            sums, 0, width, min(chunk, sizes.dv - j0),
            [&](int s, int i) {
              return shared.b[(s0 + s) * pitch + i] * shared.decays.through[sub + 1][sub_chunks][i];
            },
            [&](int i, int j) { return shared.a[i * pitch + j]; });
        store(sums, j0, i0 == 0);
      }
    }
    store_between(between, shared.scores);
    for (int j0 = 0; j0 < sizes.dv; j0 += chunk) {
      load(shared.a, values(in.dy, j0));
      TileC sums[tiles];
      multiply<Format>(
          sums, s0, chunk, min(chunk, sizes.dv - j0), [&](int s, int t) { return shared.scores[t * pitch + s0 + s]; },
          [&](int t, int j) { return shared.a[t * pitch + j]; });
      store(sums, j0, false);
    }
  }

  // The scores' gradients take their place.
  template <typename Format>
  __device__ void score_gradients() const {
    const int t0 = own_row();
    TileC sums[tiles];
    for (int j0 = 0; j0 < sizes.dv; j0 += chunk) {
      load(shared.a, values(in.dy, j0), shared.b, values(in.v, j0));
      multiply<Format>(
          sums, 0, min(chunk, sizes.dv - j0), t0 + sub_chunk,
          [&](int t, int j) { return shared.a[(t0 + t) * pitch + j]; },
          [&](int j, int s) { return shared.b[s * pitch + j]; });
    }
    // All have read the scores: they have met since, to load.
    for_elements(sums, t0, [&](int t, int s, float sum) { shared.scores[t * pitch + s] = s <= t ? sum : 0.0F; });
  }

  // Of the warp's rows, the sums over its steps of the elements times those in shared memory, by channel.
  __device__ void store_flow(TileC (&sums)[tiles], const Matrix& factors, float* into) const {
    const int t0 = own_row();
    for (int tile = 0; tile < tiles; ++tile) {
      for (int i = 0; i < 2; ++i) {
        const int column = tile * tile_columns + TileC::column(i);
        const float* factor = factors + t0 * pitch + column;
        const float own = fmaf(sums[tile].values[i], factor[TileC::row(i) * pitch],
                               sums[tile].values[i + 2] * factor[TileC::row(i + 2) * pitch]);
        const float sum = across_column(own, [](float a, float b) { return a + b; });
        if (TileC::row(i) == 0) into[column] = sum;
      }
    }
  }

  // What the queries of each sub-chunk are given by all before it takes the place of the queries (which decay it), and
  // what the keys are given by all behind it that of the keys; with all that flows through whole sub-chunks.
  template <typename Format>
  __device__ void between_sub_chunks(int i0) const {
    const int width = min(chunk, sizes.dk - i0);
    const int t0 = own_row();
    const int sub = t0 / sub_chunk;
    const ChannelDecays& decays = shared.decays;
    const auto a_row = [&](int t, int j) { return shared.a[(t0 + t) * pitch + j]; };
    const auto b_column = [&](int j, int i) { return shared.b[i * pitch + j]; };
    TileC given[tiles];    // to queries
    TileC awaited[tiles];  // by keys
    for (int j0 = 0; j0 < sizes.dv; j0 += chunk) {
      const int columns = min(chunk, sizes.dv - j0);
      load(shared.a, values(in.dy, j0), shared.b, state(in.states, i0, j0));
      multiply<Format>(given, 0, columns, width, a_row, b_column);
      load(shared.a, values(in.v, j0), shared.b, state(in.dstates, i0, j0));
      multiply<Format>(awaited, 0, columns, width, a_row, b_column);
    }
    load_channels(i0);
    decay_within(decays, in.bonus != nullptr, shared.a, shared.b);
    __syncthreads();
    for_elements(given, 0, [&](int, int i, float& sum) { sum *= decays.through[0][sub][i]; });
    for_elements(awaited, 0, [&](int, int i, float& sum) { sum *= decays.through[sub + 1][sub_chunks][i]; });
    store_flow(awaited, shared.b, shared.leaving[sub]);
    for (int earlier = 0; earlier < sub; ++earlier) {
      store_flow(given, shared.a, shared.arriving[earlier][sub - 1]);
      multiply<Format>(
          given, earlier * sub_chunk, (earlier + 1) * sub_chunk, width,
          [&](int t, int s) { return shared.scores[(t0 + t) * pitch + s]; },
          [&](int s, int i) { return shared.b[s * pitch + i] * decays.through[earlier + 1][sub][i]; });
    }
    multiply<Format>(
        awaited, t0 + sub_chunk, chunk, width, [&](int s, int t) { return shared.scores[t * pitch + t0 + s]; },
        [&](int t, int i) { return shared.a[t * pitch + i] * decays.through[sub + 1][t / sub_chunk][i]; });
    __syncthreads();  // all have read queries and keys
    for_elements(given, t0, [&](int t, int i, float sum) { shared.a[t * pitch + i] = sum; });
    for_elements(awaited, t0, [&](int s, int i, float sum) { shared.b[s * pitch + i] = sum; });
  }

  // What flows from the state before the chunk to that after it; a warp a channel.
  __device__ void flow_through_chunk(int i0) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (int i = static_cast<int>(threadIdx.x) / 32; i < min(chunk, sizes.dk - i0); i += threads / 32) {
      const std::ptrdiff_t row = at.index(sizes) * sizes.cells() + static_cast<std::ptrdiff_t>(i0 + i) * sizes.dv;
      float sum = 0;
      for (int j = lane; j < sizes.dv; j += 32) sum = fmaf(in.states[row + j], in.dstates[row + j], sum);
      sum = warp_sum(sum);
      if (lane == 0) shared.through[i] = sum * shared.decays.through[0][sub_chunks][i];
    }
  }

  // All that flows through every step of a sub-chunk without beginning or ending in it.
  __device__ float passing(int sub, int channel) const {
    float sum = shared.through[channel];
    for (int earlier = 0; earlier < sub; ++earlier) sum += shared.leaving[earlier][channel];
    for (int later = sub + 1; later < sub_chunks; ++later) sum += shared.arriving[sub][later - 1][channel];
    return sum;
  }

  // The gradients of a sub-chunk's queries, keys and decays in one channel, with what flows between its steps:
  //
  //   dq_t = given_t + sum_s dP_ts k_s,  dk_s = awaited_s + sum_t dP_ts q_t,  decayed between s and t.
  //
  // What of dq_t comes from before step u, times q_t, flows through step u; that is the gradient of the logarithm of
  // its decay, added up without differences, so that the little that passes a strong decay is not lost in what does
  // not.
  __device__ void within_sub_chunk(int i0, int channel, int sub, const Outputs& out) const {
    const bool before = in.bonus != nullptr;
    const int begin = sub * sub_chunk;
    const int count = min(sub_chunk, sizes.length - at.first_step() - begin);
    shared.bonus[sub][channel] = 0;
    if (count <= 0) return;
    const Rows queries = keys(in.q, i0 + channel);
    const Rows own_keys = keys(in.k, i0 + channel);
    const float own_bonus = before ? bonus(i0)[channel] : 0.0F;
    const float* decays = shared.decays.step + begin * pitch + channel;
    const float* given = shared.a + begin * pitch + channel;
    const float* awaited = shared.b + begin * pitch + channel;
    const float* weights = shared.scores + begin * pitch + begin;
    float key[sub_chunk];
    float decayed[sub_chunk];  // the decay from step s to the present one
    float dkey[sub_chunk];
    float flow[sub_chunk];
    for (int s = 0; s < sub_chunk; ++s) {
      key[s] = s < count ? own_keys.origin[(begin + s) * own_keys.stride] : 0.0F;
      decayed[s] = 0;
      dkey[s] = 0;
      flow[s] = 0;
    }
    float from_start = 1;
    float dbonus = 0;
    for (int t = 0; t < count; ++t) {
      const float query = queries.origin[(begin + t) * queries.stride];
      const float decay = decays[t * pitch];
      const float read = before ? from_start : from_start * decay;
      from_start *= decay;
      float sum = read * given[t * pitch];
      // Selections in place of branches keep the loop whole, and its arrays in registers. With a bonus, a step's own
      // key is decayed by that instead.
      const int last_decayed = before ? t - 1 : t;
      for (int s = 0; s < sub_chunk; ++s) {
        const float weight = weights[t * pitch + s];
        if (!before) decayed[s] = s == t ? 1.0F : decayed[s] * decay;
        const float factor = weight * (s <= last_decayed ? decayed[s] : own_bonus);
        flow[s] = s <= last_decayed ? fmaf(query, sum, flow[s]) : flow[s];
        sum = s <= t ? fmaf(factor, key[s], sum) : sum;
        dkey[s] = s <= t ? fmaf(factor, query, dkey[s]) : dkey[s];
        if (before) decayed[s] = s == t ? 1.0F : decayed[s] * decay;
      }
      dbonus = fmaf(weights[t * pitch + t], query * own_keys.origin[(begin + t) * own_keys.stride], dbonus);
      out.q[at.step(sizes, begin + t) * sizes.dk + i0 + channel] = sum;
    }
    shared.bonus[sub][channel] = dbonus;
    float to_end = 1;
    for (int s = sub_chunk - 1; s >= 0; --s) {
      const float leaving = to_end * awaited[s * pitch];
      to_end *= decays[s * pitch];
      decayed[s] = key[s] * leaving;
      if (s < count) out.k[at.step(sizes, begin + s) * sizes.dk + i0 + channel] = dkey[s] + leaving;
    }
    if (out.log_decay == nullptr) return;
    float earlier = passing(sub, channel);
    for (int s = 0; s < sub_chunk; ++s) {
      if (s < count) out.log_decay[at.step(sizes, begin + s) * sizes.dk + i0 + channel] = flow[s] + earlier;
      earlier += decayed[s];
    }
  }
};

// All gradients of one chunk of a head.
template <typename Format>
__global__ void __launch_bounds__(threads, 2) gradients_kernel(Extents sizes, Inputs in, Outputs out) {
  auto& shared = *shared_memory<BackwardShared>();
  const ChunkOfHead at = chunk_of_block(sizes);
  const Kernel kernel = {sizes, in, at, shared};
  kernel.template value_gradients<Format>(out.v);
  kernel.template score_gradients<Format>();
  for (int i0 = 0; i0 < sizes.dk; i0 += chunk) {
    kernel.template between_sub_chunks<Format>(i0);
    kernel.flow_through_chunk(i0);
    __syncthreads();
    const int width = min(chunk, sizes.dk - i0);
    for (int i = static_cast<int>(threadIdx.x); i < sub_chunks * chunk; i += threads) {
      if (i % chunk < width) kernel.within_sub_chunk(i0, i % chunk, i / chunk, out);
    }
    if (out.bonus == nullptr) continue;
    __syncthreads();
    if (const int i = static_cast<int>(threadIdx.x); i < width) {
      float sum = 0;
      for (const auto& of_sub_chunk : shared.bonus) sum += of_sub_chunk[i];
      out.bonus[at.index(sizes) * sizes.dk + i0 + i] = sum;
    }
  }
}

LaunchShape gradients_shape(const Extents& sizes) {
  return {.kernel = "linear_recurrence_channel_gradients",
          .blocks = std::uint64_t{1} * sizes.batch * sizes.heads * sizes.chunks(),
          .threads = threads,
          .shared_bytes = sizeof(BackwardShared)};
}

std::ptrdiff_t bonuses(const Extents& sizes) {
  return sizes.all_heads() * sizes.dk;
}

}  // namespace

void channel_backward(const Extents& sizes, const cpu::RecurrenceInputs<float>& inputs,
                      const cpu::RecurrenceOutputs<const float>& output_gradients,
                      const cpu::RecurrenceGradients<float>& gradients, float* scratch, Precision precision,
                      Stream& stream) {
  if (gradients.bonus != nullptr && inputs.bonus == nullptr)
    throw Error("linear_recurrence on the GPU: the gradient of a bonus is wanted, and none was given");
  const float* states = output_gradients.checkpoints;
  float* bonus_sums = gradients.bonus == nullptr ? nullptr : scratch + sizes.states();
  begin_channel_states(sizes, /*to_end=*/false, inputs.bonus != nullptr, inputs.q, output_gradients.y, inputs.log_decay,
                       scratch, nullptr, precision, stream);
  scan_states(sizes, /*backward=*/true, output_gradients.state, states + sizes.states(), scratch, gradients.initial,
              stream);
  const Inputs in = {inputs.q, inputs.k, inputs.v, inputs.log_decay, inputs.bonus, output_gradients.y, states, scratch};
  const Outputs out = {gradients.q, gradients.k, gradients.v, gradients.log_decay, bonus_sums};
  with_format(precision, [&](auto format) {
    launch_shape(gradients_kernel<decltype(format)>, gradients_shape(sizes), stream, sizes, in, out);
  });
  if (gradients.bonus != nullptr) add_chunks(bonus_sums, sizes.chunks(), bonuses(sizes), gradients.bonus, stream);
}

std::vector<LaunchShape> channel_backward_kernels(const Extents& sizes) {
  return {begin_channel_states_shape(sizes), scan_states_shape(sizes), gradients_shape(sizes),
          add_chunks_shape(bonuses(sizes))};
}

}  // namespace zoo::gpu::recurrence
