#include <algorithm>

#include "zoo/gpu/extent.h"
#include "zoo/gpu/fast_weights.h"
#include "zoo/gpu/fast_weights_piece.h"

namespace zoo::gpu {

namespace {

using namespace fast;

template <typename Format>
__global__ void __launch_bounds__(max_threads, 1)
    forward_kernel(Extents sizes, std::size_t shared_count, cpu::FastWeightsInputs<float> in,
                   MapTensors<const float> maps, float* z, MapTensors<float> maps_behind, float* checkpoints,
                   float* workspace, std::size_t own_workspace) {
  auto& shared = *shared_memory<Shared>();
  const Head head(sizes);
  const std::ptrdiff_t index = head.index(sizes);
  const HeadNorm norm = head.norm(sizes, in);
  begin_block(sizes, /*backward=*/false, shared_count, workspace + index * own_workspace, shared);
  for (int l = 0; l < sizes.maps; ++l) {
    MapRecord& map = shared.maps[l];
    const cpu::FastMapTensors<float> to = of_head(map, maps_behind.of(l), index);
    cpu::FastMapTensors<const float> from = of_head(map, maps.of(l), index);
    if (threadIdx.x == 0) {
      map.W_sum = to.W_sum;
      map.b_sum = to.b_sum;
    }
    __syncthreads();
    if (sizes.first == 0) from.W_sum = from.b_sum = nullptr;
    load_map(map, from);
  }
  for (int number = 0; number < sizes.pieces; ++number) {
    const Piece piece = sizes.piece(number);
    load_piece(sizes, head, piece, in, shared);
    if (checkpoints != nullptr && number > 0 && number % sizes.spacing == 0) {
      const std::ptrdiff_t at = index * sizes.checkpoints + number / sizes.spacing - 1;
      save_maps(sizes, shared, sizes.mini_batch > max_piece, checkpoints + at * sizes.checkpoint_values);
    }
    take_gradients<Format, false>(sizes, norm, piece, shared, shared.x_inverse);
    read_out<Format, false>(sizes, piece, shared);
    for_rows(piece.n, [&](int i) {
      float* row = &shared.y_normal.at(i, 0);
      normalise_row(norm, row);
      float* into = z + head.token(sizes, piece.begin + i) * sizes.d;
      for_columns(sizes.d, [&](int c) { into[c] = shared.q.at(i, c) + fmaf(norm.weight[c], row[c], norm.bias[c]); });
    });
    advance<Format>(sizes, piece, shared);
  }
  for (int l = 0; l < sizes.maps; ++l) {
    const MapRecord& map = shared.maps[l];
    const cpu::FastMapTensors<float> to = of_head(map, maps_behind.of(l), index);
    for_each(map.true_in * map.true_out, [&](int i) { to.W[i] = map.W.at(i / map.true_out, i % map.true_out); });
    for_each(map.true_out, [&](int c) { to.b[c] = map.b.at(0, c); });
  }
}

constexpr const char* family = "fast_weights";

// Whether shared memory has room for what is copied there asynchronously.
bool fits(const Extents& sizes) {
  Places places(nullptr, nullptr, (device().shared_bytes_per_block - sizeof(Shared)) / sizeof(float));
  for (int i = 0; i < 3; ++i) places.take(sizes.rows(), sizes.padded(0));
  return places.device_used() == 0;
}

Extents unchecked(const cpu::FastWeightsSizes& sizes) {
  Extents result = {};
  result.batch = extent(family, "batch", sizes.batch);
  result.length = extent(family, "length", sizes.length);
  result.heads = extent(family, "heads", sizes.heads, 1);
  result.maps = extent(family, "maps", sizes.maps, 1);
  require_extent(sizes.maps <= max_maps, family, "maps", sizes.maps, "it must be 1 or 2");
  result.d = extent(family, "width", sizes.widths[0], 1);
  result.hidden = extent(family, "hidden width", sizes.widths[1], 1);
  require_extent(sizes.widths[static_cast<std::size_t>(sizes.maps)] == sizes.widths[0], family, "the last width",
                 sizes.widths[static_cast<std::size_t>(sizes.maps)], "it must be the first");
  result.mini_batch = extent(family, "mini_batch", sizes.mini_batch, 1);
  result.first = extent(family, "first", sizes.first);
  require_extent(sizes.first < sizes.mini_batch, family, "first", sizes.first, "it must be below mini_batch");
  result.pieces = extent(family, "pieces", sizes.pieces());
  result.spacing = extent(family, "checkpoint_spacing", sizes.checkpoint_spacing());
  result.checkpoints = extent(family, "checkpoints", sizes.checkpoints());
  result.weights = extent(family, "twice the weights of a head", 2 * sizes.weights()) / 2;
  result.checkpoint_values = static_cast<int>(sizes.checkpoint_values());
  result.begins_within = sizes.begins_within();
  result.epsilon = static_cast<float>(sizes.epsilon);
  return result;
}

}  // namespace

namespace fast {

Extents checked(const cpu::FastWeightsSizes& sizes) {
  const Extents result = unchecked(sizes);
  if (!fits(result))
    throw Error(
        "{} on the GPU: {} rows of width {} do not fit 3 times into the {} bytes of shared memory of a block of "
        "{}; use narrower heads or a smaller mini-batch",
        family, result.rows(), result.d, device().shared_bytes_per_block, device().name);
  return result;
}

std::size_t shared_floats(const Extents& sizes, bool backward) {
  Places places(nullptr, nullptr, (device().shared_bytes_per_block - sizeof(Shared)) / sizeof(float));
  Shared shared = {};
  lay_out(sizes, backward, places, shared);
  return places.shared_used();
}

std::size_t device_floats(const Extents& sizes, bool backward) {
  Places places(nullptr, nullptr, shared_floats(sizes, backward));
  Shared shared = {};
  lay_out(sizes, backward, places, shared);
  return places.device_used();
}

LaunchShape shape_of(const Extents& sizes, bool backward) {
  const int widest = std::max(sizes.d, sizes.width(1));
  const int warps = std::clamp(blocks_of(widest, item), 2, max_threads / 32);
  return {.kernel = backward ? "fast_weights_backward" : "fast_weights_forward",
          .blocks = std::uint64_t{1} * sizes.batch * sizes.heads,
          .threads = static_cast<unsigned>(32 * warps),
          .shared_bytes = sizeof(Shared) + shared_floats(sizes, backward) * sizeof(float)};
}

}  // namespace fast

bool fast_weights_fit(const cpu::FastWeightsSizes& sizes) {
  return fits(unchecked(sizes));
}

std::int64_t fast_weights_forward_workspace(const cpu::FastWeightsSizes& sizes) {
  return sizes.batch * sizes.heads * static_cast<std::int64_t>(device_floats(checked(sizes), false));
}

void fast_weights_forward(const cpu::FastWeightsSizes& sizes, const cpu::FastWeightsInputs<float>& inputs,
                          const cpu::FastWeightsOutputs<float>& outputs, float* workspace, Precision precision,
                          Stream& stream) {
  const Extents extents = checked(sizes);
  with_format(precision, [&](auto format) {
    launch_shape(forward_kernel<decltype(format)>, shape_of(extents, false), stream, extents,
                 shared_floats(extents, false), inputs, MapTensors<const float>(inputs.maps), outputs.z,
                 MapTensors<float>(outputs.maps), outputs.checkpoints, workspace, device_floats(extents, false));
  });
}

std::vector<LaunchShape> fast_weights_forward_kernels(const cpu::FastWeightsSizes& sizes) {
  return {shape_of(checked(sizes), false)};
}

}  // namespace zoo::gpu
