#include "zoo/gpu/extent.h"
#include "zoo/gpu/linear_recurrence_chunk.h"

namespace zoo::gpu::recurrence {

namespace {

constexpr int scan_threads = 256;

struct SumsShared {
  Matrix a;
  Matrix b;
  float factors[chunk];
};

// A block computes 64 x 64 cells of one chunk and head, a warp 16 rows of them.
template <typename Format>
__global__ void __launch_bounds__(threads)
    sums_kernel(Extents sizes, bool to_end, const float* __restrict__ a, const float* __restrict__ b,
                const float* __restrict__ log_decay, const float* __restrict__ step, float* __restrict__ states,
                float* __restrict__ wholes) {
  auto& shared = *shared_memory<SumsShared>();
  const ChunkOfHead at = chunk_of_block(sizes);
  const int first = at.first_step();
  const int slices = blocks_of(sizes.dv, chunk);
  const int i0 = static_cast<int>(blockIdx.y) / slices * chunk;
  const int j0 = static_cast<int>(blockIdx.y) % slices * chunk;
  const int rows = min(chunk, sizes.dk - i0);
  const int columns = min(chunk, sizes.dv - j0);

  const Decay decay(sizes, log_decay, at.sequence, at.head, first);
  if (const int t = static_cast<int>(threadIdx.x); t < chunk) {
    shared.factors[t] = to_end ? decay.through(t + 1, chunk) * step_of(sizes, step, at.sequence, at.head, first + t)
                               : decay.through(0, t + 1);
  } else if (t == chunk && wholes != nullptr && blockIdx.y == 0) {
    wholes[at.index(sizes)] = decay.through(0, chunk);
  }
  load(shared.a, sizes.steps(a, at.sequence, first, sizes.groups, sizes.group_of(at.head), sizes.dk, i0), shared.b,
       sizes.steps(b, at.sequence, first, sizes.heads, at.head, sizes.dv, j0));
  if (own_row() >= rows) return;
  TileC sums[tiles];
  multiply<Format>(
      sums, 0, decay.count, columns,
      [&](int i, int t) { return shared.a[t * pitch + own_row() + i] * shared.factors[t]; },
      [&](int t, int j) { return shared.b[t * pitch + j]; });
  float* into = states + at.index(sizes) * sizes.cells() + static_cast<std::ptrdiff_t>(i0) * sizes.dv + j0;
  for_elements(sums, own_row(), [&](int i, int j, float sum) {
    if (i < rows && j < columns) into[static_cast<std::ptrdiff_t>(i) * sizes.dv + j] = sum;
  });
}

// A thread a cell of all states. `first` and `last` may be the same.
__global__ void __launch_bounds__(scan_threads)
    scan_kernel(Extents sizes, bool backward, const float* first, const float* __restrict__ wholes,
                float* __restrict__ states, float* last) {
  const std::ptrdiff_t own = static_cast<std::ptrdiff_t>(blockIdx.x) * scan_threads + threadIdx.x;
  const std::ptrdiff_t count = sizes.all_heads() * sizes.cells();
  if (own >= count) return;
  const std::ptrdiff_t factor = own / (sizes.cells() / sizes.factors());
  float state = first == nullptr ? 0.0F : first[own];
  for (int i = 0; i < sizes.chunks(); ++i) {
    const int of_chunk = backward ? sizes.chunks() - 1 - i : i;
    float& at = states[of_chunk * count + own];
    const float sum = at;
    at = state;
    state = fmaf(wholes[of_chunk * sizes.all_heads() * sizes.factors() + factor], state, sum);
  }
  last[own] = state;
}

__global__ void __launch_bounds__(threads)
    add_chunks_kernel(const float* __restrict__ sums, int chunks, std::ptrdiff_t count, float* __restrict__ into) {
  const std::ptrdiff_t own = static_cast<std::ptrdiff_t>(blockIdx.x) * threads + threadIdx.x;
  if (own >= count) return;
  float sum = 0;
  for (int i = 0; i < chunks; ++i) sum += sums[i * count + own];
  into[own] = sum;
}

constexpr const char* family = "linear_recurrence";

}  // namespace

Extents checked(const cpu::RecurrenceSizes& sizes, cpu::RecurrenceDecay decay) {
  const Extents result = {.batch = extent(family, "batch", sizes.batch),
                          .length = extent(family, "length", sizes.length),
                          .heads = extent(family, "heads", sizes.heads, 1),
                          .groups = extent(family, "groups", sizes.groups, 1),
                          .parts = extent(family, "parts", sizes.parts, 1),
                          .dk = extent(family, "dk", sizes.dk, 1),
                          .dv = extent(family, "dv", sizes.dv, 1),
                          .decay = decay};
  require_extent(sizes.heads % sizes.groups == 0, family, "heads", sizes.heads, "it must be a multiple of groups");
  require_extent(sizes.heads / sizes.groups % sizes.parts == 0, family, "parts", sizes.parts,
                 "it must divide heads / groups");
  require_extent(decay != cpu::RecurrenceDecay::channel_and_step || sizes.heads_a_part() == 1, family, "parts",
                 sizes.parts, "with a decay of each channel it must be heads / groups");
  return result;
}

Extents checked(const cpu::RecurrenceSizes& sizes, const cpu::RecurrenceInputs<float>& inputs) {
  const char* fault = nullptr;
  if (inputs.bonus != nullptr && inputs.decay != cpu::RecurrenceDecay::channel_and_step)
    fault = "a bonus was given; it needs a decay of each channel and step";
  else if (inputs.decay != cpu::RecurrenceDecay::none && inputs.log_decay == nullptr)
    fault = "log_decay is missing; give it, or no decay";
  else if (inputs.step != nullptr && inputs.decay != cpu::RecurrenceDecay::head_and_step)
    fault = "steps were given; they need a decay of each head and step";
  else if ((inputs.step == nullptr) != (inputs.skip == nullptr))
    fault = "one of step and skip is missing; give both or none";
  if (fault != nullptr) throw Error("linear_recurrence on the GPU: {}", fault);
  return checked(sizes, inputs.decay);
}

LaunchShape begin_states_shape(const Extents& sizes) {
  const auto slices = static_cast<unsigned>(blocks_of(sizes.dk, chunk) * blocks_of(sizes.dv, chunk));
  return {.kernel = "linear_recurrence_sums",
          .blocks = std::uint64_t{1} * sizes.batch * sizes.heads * sizes.chunks() * slices,
          .slices = slices,
          .threads = threads,
          .shared_bytes = sizeof(SumsShared)};
}

LaunchShape scan_states_shape(const Extents& sizes) {
  const std::ptrdiff_t count = sizes.all_heads() * sizes.cells();
  return {.kernel = "linear_recurrence_scan",
          .blocks = static_cast<std::uint64_t>((count + scan_threads - 1) / scan_threads),
          .threads = scan_threads,
          .shared_bytes = 0};
}

LaunchShape add_chunks_shape(std::ptrdiff_t count) {
  return {.kernel = "linear_recurrence_add_chunks",
          .blocks = static_cast<std::uint64_t>((count + threads - 1) / threads),
          .threads = threads,
          .shared_bytes = 0};
}

void add_chunks(const float* sums, int chunks, std::ptrdiff_t count, float* into, Stream& stream) {
  launch_shape(add_chunks_kernel, add_chunks_shape(count), stream, sums, chunks, count, into);
}

void begin_states(const Extents& sizes, bool to_end, const float* a, const float* b, const float* log_decay,
                  const float* step, float* states, float* wholes, Precision precision, Stream& stream) {
  with_format(precision, [&](auto format) {
    launch_shape(sums_kernel<decltype(format)>, begin_states_shape(sizes), stream, sizes, to_end, a, b, log_decay, step,
                 states, wholes);
  });
}

void scan_states(const Extents& sizes, bool backward, const float* first, const float* wholes, float* states,
                 float* last, Stream& stream) {
  launch_shape(scan_kernel, scan_states_shape(sizes), stream, sizes, backward, first, wholes, states, last);
}

}  // namespace zoo::gpu::recurrence
