#include "zoo/gpu/delta_rule_chunk.h"

namespace zoo::gpu::delta {

namespace {

using namespace recurrence;

// Followed by the state's rows, in 64s of pitch floats.
struct alignas(16) WalkShared {
  Matrix rows;
  Matrix values;  // u beta, decayed to the chunk's end; or du
  Matrix dy;
  float decayed[chunk];  // to the chunk's end, or from its start
  float beta[chunk];
  float whole;
};

struct WalkInputs {
  const float* q;
  const float* k;
  const float* beta;
  const float* log_decay;
  const float* dy;
};

// 64 columns of the states of one head, chunk after chunk; forward
//
//   u = T v - (T D k) S,  S <- D_n S + (D_ns k_s)^T beta_s u_s
//
// or backward, with the gradients of the states after each chunk for S,
//
//   de = N^T P^T dy + (N^T D_n k) G,  G <- D_n G + (D q)^T dy - (D k)^T du
template <typename Format, bool backward>
__global__ void __launch_bounds__(threads, 2)
    walk_kernel(Extents sizes, WalkInputs in, const float* first_state, const float* __restrict__ solved_keys,
                float* __restrict__ values, float* __restrict__ states, float* last_state, float* __restrict__ dv) {
  auto& shared = *shared_memory<WalkShared>();
  auto* state = reinterpret_cast<float*>(&shared + 1);
  const int head = static_cast<int>(blockIdx.x) % sizes.heads;
  const int sequence = static_cast<int>(blockIdx.x) / sizes.heads;
  const std::ptrdiff_t of_head = static_cast<std::ptrdiff_t>(sequence) * sizes.heads + head;
  const int j0 = static_cast<int>(blockIdx.y) * chunk;
  const int columns = min(chunk, sizes.dv - j0);
  const int own = static_cast<int>(threadIdx.x);
  const int t0 = own_row();
  // Calls body(row, column, where it is in a state [dk,dv]) for this thread's cells.
  const auto for_cells = [&](const auto& body) {
    for (int i = own; i < sizes.dk * columns; i += threads)
      body(i / columns, i % columns, static_cast<std::ptrdiff_t>(i / columns) * sizes.dv + j0 + i % columns);
  };

  for (int i = own; i < round_up(sizes.dk, chunk) * pitch; i += threads) state[i] = 0;
  __syncthreads();
  if (first_state != nullptr)
    for_cells(
        [&](int i, int j, std::ptrdiff_t at) { state[i * pitch + j] = first_state[of_head * sizes.cells() + at]; });
  for (int number = 0; number < sizes.chunks(); ++number) {
    const int own_chunk = backward ? sizes.chunks() - 1 - number : number;
    const int first = own_chunk * chunk;
    const auto keys = [&](const float* tensor, int i0) {
      return sizes.steps(tensor, sequence, first, sizes.heads, head, sizes.dk, i0);
    };
    const Decay decay(sizes, in.log_decay, sequence, head, first);
    __syncthreads();
    for_cells([&](int i, int j, std::ptrdiff_t at) {
      states[(own_chunk * sizes.all_heads() + of_head) * sizes.cells() + at] = state[i * pitch + j];
    });
    if (own < chunk) {
      shared.decayed[own] = backward ? decay.through(0, own + 1) : decay.through(own + 1, chunk);
      shared.beta[own] = step_of(sizes, in.beta, sequence, head, first + own);
    } else if (own == chunk) {
      shared.whole = decay.through(0, chunk);
    }
    TileC sums[tiles];
    for (int i0 = 0; i0 < sizes.dk; i0 += chunk) {
      load(shared.rows, keys(solved_keys, i0));
      multiply<Format>(
          sums, 0, min(chunk, sizes.dk - i0), columns, [&](int t, int i) { return shared.rows[(t0 + t) * pitch + i]; },
          [&](int i, int j) { return state[(i0 + i) * pitch + j]; });
    }
    for_elements(sums, t0, [&](int t, int j, float sum) {
      float& value = shared.values[t * pitch + j];
      value = 0;
      if (t >= decay.count || j >= columns) return;
      const std::ptrdiff_t row =
          (static_cast<std::ptrdiff_t>(sequence) * sizes.length + first + t) * sizes.heads + head;
      const std::ptrdiff_t at = row * sizes.dv + j0 + j;
      const float result = backward ? values[at] + sum : values[at] - sum;
      values[at] = result;
      value = shared.beta[t] * result;
      if constexpr (backward)
        dv[at] = value;
      else
        value *= shared.decayed[t];
    });
    if constexpr (backward) load(shared.dy, sizes.steps(in.dy, sequence, first, sizes.heads, head, sizes.dv, j0));
    for (int i0 = 0; i0 < sizes.dk; i0 += chunk) {
      const auto add = [&](TileC(&into)[tiles], float sign, const Matrix& written) {
        multiply<Format>(
            into, 0, decay.count, columns,
            [&](int i, int t) {
              const float key = shared.rows[t * pitch + t0 + i];
              return backward ? sign * shared.decayed[t] * key : key;
            },
            [&](int t, int j) { return written[t * pitch + j]; });
      };
      load(shared.rows, keys(in.k, i0));
      TileC cells[tiles];
      for_elements(cells, i0 + t0, [&](int i, int j, float& cell) { cell = shared.whole * state[i * pitch + j]; });
      add(cells, -1, shared.values);
      if constexpr (backward) {
        load(shared.rows, keys(in.q, i0));
        add(cells, 1, shared.dy);
      }
      for_elements(cells, i0 + t0, [&](int i, int j, float cell) { state[i * pitch + j] = cell; });
    }
  }
  __syncthreads();
  for_cells([&](int i, int j, std::ptrdiff_t at) { last_state[of_head * sizes.cells() + at] = state[i * pitch + j]; });
}

}  // namespace

LaunchShape walk_shape(const Extents& sizes) {
  const auto slices = static_cast<unsigned>(blocks_of(sizes.dv, chunk));
  return {
      .kernel = "delta_rule_walk",
      .blocks = std::uint64_t{1} * sizes.batch * sizes.heads * slices,
      .slices = slices,
      .threads = threads,
      .shared_bytes = sizeof(WalkShared) + sizeof(float) * pitch * static_cast<std::size_t>(round_up(sizes.dk, chunk))};
}

void walk_forward(const Extents& sizes, const cpu::DeltaRuleInputs<float>& inputs, const Solved& solved, float* states,
                  float* last, Precision precision, Stream& stream) {
  const WalkInputs in = {nullptr, inputs.k, inputs.beta, inputs.log_decay, nullptr};
  with_format(precision, [&](auto format) {
    launch_shape(walk_kernel<decltype(format), false>, walk_shape(sizes), stream, sizes, in, inputs.initial,
                 solved.keys, solved.values, states, last, nullptr);
  });
}

void walk_backward(const Extents& sizes, const cpu::DeltaRuleInputs<float>& inputs, const float* dy, const float* dlast,
                   const Solved& solved, float* dstates, float* dinitial, float* dv, Precision precision,
                   Stream& stream) {
  const WalkInputs in = {inputs.q, inputs.k, inputs.beta, inputs.log_decay, dy};
  with_format(precision, [&](auto format) {
    launch_shape(walk_kernel<decltype(format), true>, walk_shape(sizes), stream, sizes, in, dlast, solved.keys,
                 solved.values, dstates, dinitial, dv);
  });
}

}  // namespace zoo::gpu::delta
