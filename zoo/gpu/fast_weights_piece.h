#pragma once

// The arithmetic of one piece that the fast weights' forward and backward kernels share, as
// zoo/cpu/fast_weights_piece-inl.h.

#include "zoo/gpu/fast_weights_block.h"
#include "zoo/gpu/fast_weights_rows.h"

namespace zoo::gpu::fast {

/// The head of one sequence that a block computes.
struct Head {
  int sequence, head;

  __device__ explicit Head(const Extents& sizes)
      : sequence(static_cast<int>(blockIdx.x) / sizes.heads), head(static_cast<int>(blockIdx.x) % sizes.heads) {}

  __device__ std::ptrdiff_t index(const Extents& sizes) const {
    return static_cast<std::ptrdiff_t>(sequence) * sizes.heads + head;
  }
  /// Where a token's value lies in a tensor [B,T,H].
  __device__ std::ptrdiff_t token(const Extents& sizes, int t) const {
    return (static_cast<std::ptrdiff_t>(sequence) * sizes.length + t) * sizes.heads + head;
  }
  /// A piece's rows of a tensor [B,T,H,d].
  __device__ Rows rows(const Extents& sizes, const float* tensor, const Piece& piece) const {
    return {tensor + token(sizes, piece.begin) * sizes.d, static_cast<std::ptrdiff_t>(sizes.heads) * sizes.d, piece.n,
            sizes.d};
  }
  __device__ HeadNorm norm(const Extents& sizes, const cpu::FastWeightsInputs<float>& in) const {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(head) * sizes.d;
    return {in.norm_weight + at, in.norm_bias + at, sizes.d, sizes.epsilon};
  }
};

/// Places the block's matrices, and fills them with zeros.
__device__ __forceinline__ void begin_block(const Extents& sizes, bool backward, std::size_t shared_count,
                                            float* own_device_memory, Shared& shared) {
  auto* own_shared_memory = reinterpret_cast<float*>(&shared + 1);
  if (threadIdx.x == 0) {
    Places places(own_shared_memory, own_device_memory, shared_count);
    lay_out(sizes, backward, places, shared);
    shared.device_used = places.device_used();
  }
  for (std::size_t i = threadIdx.x; i < shared_count; i += blockDim.x) own_shared_memory[i] = 0;
  __syncthreads();
  for (std::size_t i = threadIdx.x; i < shared.device_used; i += blockDim.x) own_device_memory[i] = 0;
  __syncthreads();
}

/// A map's weights from [in][out] and [out], and its sums likewise: 0 where they are not given.
__device__ __forceinline__ void load_map(const MapRecord& map, const cpu::FastMapTensors<const float>& from) {
  const int out = map.true_out, count = map.true_in * out;
  for_each(count, [&](int i) {
    map.W.at(i / out, i % out) = from.W[i];
    map.W_sum[i] = from.W_sum == nullptr ? 0.0F : from.W_sum[i];
  });
  for_each(out, [&](int c) {
    map.b.at(0, c) = from.b[c];
    map.b_sum[c] = from.b_sum == nullptr ? 0.0F : from.b_sum[c];
  });
}

/// cpu::FastMaps for kernels, which std::array's operators are not for.
template <typename T>
struct MapTensors {
  cpu::FastMapTensors<T> first, second;

  explicit MapTensors(const cpu::FastMaps<T>& maps) : first(maps[0]), second(maps[1]) {}
  __device__ cpu::FastMapTensors<T> of(int l) const {
    return {l == 0 ? first.W : second.W, l == 0 ? first.b : second.b, l == 0 ? first.W_sum : second.W_sum,
            l == 0 ? first.b_sum : second.b_sum};
  }
};

/// One head's part of a map's tensors.
template <typename T>
__device__ __forceinline__ cpu::FastMapTensors<T> of_head(const MapRecord& map, const cpu::FastMapTensors<T>& all,
                                                          std::ptrdiff_t index) {
  const auto part = [&](T* tensor, std::ptrdiff_t count) {
    return tensor == nullptr ? nullptr : tensor + index * count;
  };
  const std::ptrdiff_t out = map.true_out, count = map.true_in * out;
  return {part(all.W, count), part(all.b, out), part(all.W_sum, count), part(all.b_sum, out)};
}

/// All maps' weights, with their sums or without, as a checkpoint has them.
__device__ __forceinline__ void save_maps(const Extents& sizes, const Shared& shared, bool sums, float* to) {
  for (int l = 0; l < sizes.maps; ++l) {
    const MapRecord& map = shared.maps[l];
    const int out = map.true_out, count = map.true_in * out;
    for_each(count, [&](int i) {
      to[i] = map.W.at(i / out, i % out);
      if (sums) to[count + out + i] = map.W_sum[i];
    });
    for_each(out, [&](int c) {
      to[count + c] = map.b.at(0, c);
      if (sums) to[2 * count + out + c] = map.b_sum[c];
    });
    to += (sums ? 2 : 1) * (count + out);
  }
}
__device__ __forceinline__ void load_maps(const Extents& sizes, const Shared& shared, bool sums, const float* from) {
  for (int l = 0; l < sizes.maps; ++l) {
    const MapRecord& map = shared.maps[l];
    const int out = map.true_out, count = map.true_in * out;
    load_map(map, {from, from + count, sums ? from + count + out : nullptr, sums ? from + 2 * count + out : nullptr});
    from += (sums ? 2 : 1) * (count + out);
  }
}

/// A piece's keys, queries, labels, rates and scales to shared memory. All threads must be done with the last piece's.
__device__ __forceinline__ void load_piece(const Extents& sizes, const Head& head, const Piece& piece,
                                           const cpu::FastWeightsInputs<float>& in, Shared& shared) {
  begin_copy(shared.q.data, shared.q.pitch, sizes.rows(), head.rows(sizes, in.q, piece));
  begin_copy(shared.k.data, shared.k.pitch, sizes.rows(), head.rows(sizes, in.k, piece));
  begin_copy(shared.v.data, shared.v.pitch, sizes.rows(), head.rows(sizes, in.v, piece));
  copy_async_commit();
  for_each(max_piece, [&](int i) {
    shared.eta[i] = i < piece.n ? in.eta[head.token(sizes, piece.begin + i)] : 0.0F;
    shared.scale[i] = i < piece.n ? in.token_scale[piece.index + i] : 0.0F;
  });
  copy_async_wait<0>();
  __syncthreads();
}

/// The gradients of the loss for a piece's tokens, at the weights of the mini-batch's start.
template <typename Format, bool keeps>
__device__ __forceinline__ void take_gradients(const Extents& sizes, const HeadNorm& norm, const Piece& piece,
                                               const Shared& shared, float* x_inverse) {
  const int rows = sizes.rows();
  const int last = sizes.maps - 1;
  for (int l = 0; l <= last; ++l) {
    const MapRecord& map = shared.maps[l];
    const Matrix& x = shared.x(l);
    product<Format>(
        rows, map.out, map.in, [&](int j, int i) { return x.at(j, i); }, [&](int i, int o) { return map.W.at(i, o); },
        [&](int j, int o, float sum) {
          const float z = sum + map.b.at(0, o);
          if (l == last) {
            shared.x_normal.at(j, o) = z;
            return;
          }
          const Gelu activation(z);
          shared.maps[l + 1].x.at(j, o) = activation.value;
          map.slope.at(j, o) = activation.slope;
          if constexpr (keeps) map.curvature.at(j, o) = activation.curvature;
        });
  }
  for_rows(piece.n, [&](int j) {
    float* row = &shared.x_normal.at(j, 0);
    const float inverse = normalise_row(norm, row);
    loss_gradient_row(norm, row, inverse, &shared.k.at(j, 0), &shared.v.at(j, 0), &shared.maps[last].gradient.at(j, 0));
    if (threadIdx.x % 32 == 0) x_inverse[j] = inverse;
  });
  __syncthreads();
  for (int l = last; l > 0; --l) {
    const MapRecord &map = shared.maps[l], &below = shared.maps[l - 1];
    product<Format>(
        rows, map.in, map.out, [&](int j, int o) { return map.gradient.at(j, o); },
        [&](int o, int i) { return map.W.at(i, o); },
        [&](int j, int i, float back) {
          if constexpr (keeps) below.curvature.at(j, i) *= back;
          below.gradient.at(j, i) = back * below.slope.at(j, i);
        });
  }
}

/// What a map's weights met by each token make of the test view, before the norm; z [n,d] itself is the forward pass's.
template <typename Format, bool keeps>
__device__ __forceinline__ void read_out(const Extents& sizes, const Piece& piece, const Shared& shared) {
  const int rows = sizes.rows();
  const int last = sizes.maps - 1;
  for (int l = 0; l <= last; ++l) {
    const MapRecord& map = shared.maps[l];
    const Matrix &x = shared.x(l), &y = shared.y(l);
    const auto from_y = [&](int i, int c) { return y.at(i, c); };
    product<Format>(
        rows, rows, map.in, from_y, [&](int c, int j) { return x.at(j, c); },
        [&](int i, int j, float sum) { map.scores.at(i, j) = j <= i ? sum + 1 : 0.0F; });
    for_items(rows, map.out, [&](int row, int column) {
      Sums sums;
      sums.add<Format>(
          row, column, 0, row + item, [&](int i, int j) { return map.scores.at(i, j); },
          [&](int j, int o) { return shared.weighted(l, j, o); });
      if (piece.begun())
        sums.add<Format>(row, column, 0, map.in, from_y, [&](int c, int o) {
          return c < map.true_in && o < map.true_out ? map.W_sum[c * map.true_out + o] : 0.0F;
        });
      sums.each(row, column, [&](int i, int o, float& sum) {
        if (piece.begun() && o < map.true_out) sum += map.b_sum[o];
        if constexpr (keeps) map.learned.at(i, o) = sum;
        sum *= -shared.scale[i];
      });
      sums.add<Format>(row, column, 0, map.in, from_y, [&](int c, int o) { return map.W.at(c, o); });
      sums.each(row, column, [&](int i, int o, float sum) {
        const float result = sum + map.b.at(0, o);
        if (l == last) {
          shared.y_normal.at(i, o) = result;
          return;
        }
        const Gelu activation(result);
        shared.maps[l + 1].y.at(i, o) = activation.value;
        if constexpr (keeps) map.y_slope.at(i, o) = activation.slope;
      });
    });
    __syncthreads();
  }
}

/// The sums, or at a mini-batch's end the weights, behind a piece.
template <typename Format>
__device__ __forceinline__ void advance(const Extents& sizes, const Piece& piece, const Shared& shared) {
  const bool begun = piece.begun(), whole = piece.ends && !begun;
  const float scale = shared.scale[piece.n - 1];
  for (int l = 0; l < sizes.maps; ++l) {
    const MapRecord& map = shared.maps[l];
    const Matrix& x = shared.x(l);
    product<Format>(
        map.in, map.out, sizes.rows(), [&](int i, int j) { return x.at(j, i); },
        [&](int j, int o) { return shared.weighted(l, j, o); },
        [&](int i, int o, float sum) {
          if (i >= map.true_in || o >= map.true_out) return;
          float& kept = map.W_sum[i * map.true_out + o];
          if (begun) sum += kept;
          if (piece.ends) map.W.at(i, o) = fmaf(-scale, sum, map.W.at(i, o));
          if (!whole) kept = piece.ends ? 0.0F : sum;
        });
    for_each(map.true_out, [&](int o) {
      float sum = 0;
      for (int j = 0; j < piece.n; ++j) sum += shared.weighted(l, j, o);
      if (begun) sum += map.b_sum[o];
      if (piece.ends) map.b.at(0, o) = fmaf(-scale, sum, map.b.at(0, o));
      if (!whole) map.b_sum[o] = piece.ends ? 0.0F : sum;
    });
  }
  __syncthreads();
}

}  // namespace zoo::gpu::fast
