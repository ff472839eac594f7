#include <algorithm>

#include "zoo/gpu/fast_weights.h"
#include "zoo/gpu/fast_weights_gradients.h"

// A head's gradients, from the last piece to the first. Between two checkpoints the weights before each piece are
// computed again and kept; with them, each piece is computed again before its gradients, which are those of
// zoo/cpu/fast_weights_backward.cpp.

namespace zoo::gpu {

namespace {

using namespace fast;

// The gradients by the maps behind the last token, or zero; and zero for all that is summed over pieces.
__device__ __forceinline__ void begin_gradients(const Work& work, const MapTensors<const float>& given, float* sums) {
  const Extents& sizes = work.sizes;
  const std::ptrdiff_t index = work.head.index(sizes);
  const bool at_boundary = (sizes.first + sizes.length) % sizes.mini_batch == 0;
  for (int l = 0; l < sizes.maps; ++l) {
    MapRecord& map = work.shared.maps[l];
    const int out = map.true_out, count = map.true_in * out;
    const cpu::FastMapTensors<float> to = of_head(map, work.into_maps.of(l), index);
    const cpu::FastMapTensors<const float> from = of_head(map, given.of(l), index);
    if (threadIdx.x == 0) {
      map.dW_sum = to.W_sum;
      map.db_sum = to.b_sum;
      map.W_sum = sums;
      map.b_sum = sums + count;
    }
    sums += count + out;
    const auto value = [](const float* tensor, int i) { return tensor == nullptr ? 0.0F : tensor[i]; };
    for_each(count, [&](int i) {
      map.dW.at(i / out, i % out) = value(from.W, i);
      to.W_sum[i] = at_boundary ? 0.0F : value(from.W_sum, i);
    });
    for_each(out, [&](int c) {
      map.db.at(0, c) = value(from.b, c);
      to.b_sum[c] = at_boundary ? 0.0F : value(from.b_sum, c);
    });
  }
  for_each(sizes.mini_batch, [&](int i) { work.token_scale()[i] = 0; });
  for_each(sizes.d, [&](int c) { work.norm_weight()[c] = work.norm_bias()[c] = 0; });
  __syncthreads();
}

template <typename Format>
__global__ void __launch_bounds__(max_threads, 1)
    backward_kernel(Extents sizes, std::size_t shared_count, cpu::FastWeightsInputs<float> in,
                    MapTensors<const float> maps, const float* __restrict__ checkpoints, const float* __restrict__ dz,
                    MapTensors<const float> map_gradients, cpu::FastWeightsGradients<float> into,
                    MapTensors<float> into_maps, float* workspace, std::size_t own_workspace) {
  auto& shared = *shared_memory<Shared>();
  const Head head(sizes);
  const std::ptrdiff_t index = head.index(sizes);
  const HeadNorm norm = head.norm(sizes, in);
  const Work work = {sizes, head, norm, shared, in, dz, into, into_maps};
  float* own = workspace + index * own_workspace;
  begin_block(sizes, /*backward=*/true, shared_count, own, shared);
  float* sums = own + shared.device_used;
  float* kept = sums + sizes.weights;
  begin_gradients(work, map_gradients, sums);
  for (int number = sizes.checkpoints; number >= 0; --number) {
    if (number > 0) {
      load_maps(sizes, shared, sizes.mini_batch > max_piece,
                checkpoints + (index * sizes.checkpoints + number - 1) * sizes.checkpoint_values);
    } else {
      for (int l = 0; l < sizes.maps; ++l) {
        cpu::FastMapTensors<const float> from = of_head(shared.maps[l], maps.of(l), index);
        if (sizes.first == 0) from.W_sum = from.b_sum = nullptr;
        load_map(shared.maps[l], from);
      }
    }
    const int first = number * sizes.spacing, last = min(first + sizes.spacing, sizes.pieces);
    for (int i = first; i < last; ++i) {
      const Piece piece = sizes.piece(i);
      load_piece(sizes, head, piece, in, shared);
      save_maps(sizes, shared, sizes.begins_within,
                kept + static_cast<std::ptrdiff_t>(i - first) * sizes.kept_values());
      if (i + 1 == last) break;
      take_gradients<Format, false>(sizes, norm, piece, shared, shared.x_inverse);
      advance<Format>(sizes, piece, shared);
    }
    for (int i = last; i-- > first;) {
      __syncthreads();  // the weights of the piece before are read no more
      load_maps(sizes, shared, sizes.begins_within,
                kept + static_cast<std::ptrdiff_t>(i - first) * sizes.kept_values());
      const Piece piece = sizes.piece(i);
      load_piece(sizes, head, piece, in, shared);
      backward_piece<Format>(work, piece);
    }
  }
  for (int l = 0; l < sizes.maps; ++l) {
    const MapRecord& map = shared.maps[l];
    const cpu::FastMapTensors<float> to = of_head(map, into_maps.of(l), index);
    for_each(map.true_in * map.true_out, [&](int i) { to.W[i] = map.dW.at(i / map.true_out, i % map.true_out); });
    for_each(map.true_out, [&](int c) { to.b[c] = map.db.at(0, c); });
  }
}

// Of a block: matrices that are not in shared memory, the running sums, and the weights before the pieces between two
// checkpoints.
std::size_t own_workspace(const Extents& sizes) {
  return device_floats(sizes, true) + static_cast<std::size_t>(sizes.weights) +
         static_cast<std::size_t>(sizes.kept_pieces()) * static_cast<std::size_t>(sizes.kept_values());
}

}  // namespace

std::int64_t fast_weights_backward_workspace(const cpu::FastWeightsSizes& sizes) {
  return sizes.batch * sizes.heads * static_cast<std::int64_t>(own_workspace(checked(sizes)));
}

void fast_weights_backward(const cpu::FastWeightsSizes& sizes, const cpu::FastWeightsInputs<float>& inputs,
                           const float* checkpoints, const float* z_gradient,
                           const cpu::FastMaps<const float>& map_gradients,
                           const cpu::FastWeightsGradients<float>& gradients, float* workspace, Precision precision,
                           Stream& stream) {
  const Extents extents = checked(sizes);
  with_format(precision, [&](auto format) {
    launch_shape(backward_kernel<decltype(format)>, shape_of(extents, true), stream, extents,
                 shared_floats(extents, true), inputs, MapTensors<const float>(inputs.maps), checkpoints, z_gradient,
                 MapTensors<const float>(map_gradients), gradients, MapTensors<float>(gradients.maps), workspace,
                 own_workspace(extents));
  });
}

std::vector<LaunchShape> fast_weights_backward_kernels(const cpu::FastWeightsSizes& sizes) {
  return {shape_of(checked(sizes), true)};
}

}  // namespace zoo::gpu
