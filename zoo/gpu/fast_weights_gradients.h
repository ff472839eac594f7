#pragma once

// The gradients of one piece, as zoo/cpu/fast_weights_backward.cpp has them.

#include "zoo/gpu/fast_weights_piece.h"

namespace zoo::gpu::fast {

/// What the gradients of a piece are computed from, and where they go.
struct Work {
  const Extents& sizes;
  const Head& head;
  const HeadNorm& norm;
  Shared& shared;
  const cpu::FastWeightsInputs<float>& in;
  const float* dz;
  const cpu::FastWeightsGradients<float>& into;
  const MapTensors<float>& into_maps;

  __device__ float* token_scale() const { return into.token_scale + head.index(sizes) * sizes.mini_batch; }
  __device__ float* norm_weight() const { return into.norm_weight + head.index(sizes) * sizes.d; }
  __device__ float* norm_bias() const { return into.norm_bias + head.index(sizes) * sizes.d; }
  // A token's row of a tensor [B,T,H,d].
  template <typename T>
  __device__ T* row(T* tensor, const Piece& piece, int i) const {
    return tensor + head.token(sizes, piece.begin + i) * sizes.d;
  }
};

__device__ __forceinline__ float row_dot(int columns, const float* a, const float* b) {
  float sum = 0;
  for_columns(columns, [&](int c) { sum = fmaf(a[c], b[c], sum); });
  return warp_sum(sum);
}

/// Over the block's threads, in their order; to thread 0.
__device__ __forceinline__ float block_sum(float value, float (&warp_sums)[max_threads / 32]) {
  const float sum = warp_sum(value);
  if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
  __syncthreads();
  float result = 0;
  for (unsigned i = 0; i < blockDim.x / 32; ++i) result += warp_sums[i];
  __syncthreads();  // the next call may overwrite them
  return result;
}

/// To the results of the last map in the test view, before the norm, and to the norm.
__device__ __forceinline__ void backward_norm(const Work& work, const Piece& piece) {
  const Shared& shared = work.shared;
  const int last = work.sizes.maps - 1;
  const MapRecord& map = shared.maps[last];
  for_rows(work.sizes.rows(), [&](int i) {
    if (i < piece.n)
      read_out_backward_row(work.norm, &shared.y_normal.at(i, 0), shared.y_inverse[i], work.row(work.dz, piece, i),
                            &map.dresult.at(i, 0));
    else
      for_columns(map.out, [&](int c) { map.dresult.at(i, c) = 0; });
  });
  for_each(work.sizes.d, [&](int c) {
    float weight = 0, bias = 0;
    for (int i = 0; i < piece.n; ++i) {
      const float dz = work.row(work.dz, piece, i)[c];
      weight = fmaf(dz, shared.y_normal.at(i, c), weight);
      bias += dz;
    }
    work.norm_weight()[c] += weight;
    work.norm_bias()[c] += bias;
  });
  __syncthreads();
}

/// Of the scale that a mini-batch ends with, through one map's weights behind it; shared.back has what the gradient of
/// those makes of its tokens.
__device__ __forceinline__ void last_scale_gradient(const Work& work, const Piece& piece, int l) {
  Shared& shared = work.shared;
  const MapRecord& map = shared.maps[l];
  for_rows(piece.n, [&](int j) {
    const float sum = row_dot(map.out, &map.gradient.at(j, 0), &shared.back.at(j, 0));
    if (threadIdx.x % 32 == 0) shared.row_sums[j] = sum * shared.eta[j];
  });
  float before = 0;
  if (piece.begun()) {
    for_each(map.true_in * map.true_out,
             [&](int i) { before = fmaf(map.W_sum[i], map.dW.at(i / map.true_out, i % map.true_out), before); });
    for_each(map.true_out, [&](int c) { before = fmaf(map.b_sum[c], map.db.at(0, c), before); });
  }
  before = block_sum(before, shared.warp_sums);
  if (threadIdx.x != 0) return;
  for (int j = 0; j < piece.n; ++j) before += shared.row_sums[j];
  work.token_scale()[piece.index + piece.n - 1] -= before;
}

/// Through one map of the test view and through the weights or sums behind the piece: from the gradients by its results
/// to those by its inputs in both views, by eta_j G_j, and by the weights and sums before the piece.
template <typename Format>
__device__ __forceinline__ void backward_read_out(const Work& work, const Piece& piece, int l) {
  Shared& shared = work.shared;
  const MapRecord& map = shared.maps[l];
  const int rows = work.sizes.rows();
  const bool begun = piece.begun(), ends = piece.ends;
  const float factor = ends ? -shared.scale[piece.n - 1] : 1.0F;
  const Matrix &x = shared.x(l), &y = shared.y(l);
  const auto inside = [&](int i, int o) { return i < map.true_in && o < map.true_out; };
  const auto learned_gradient = [&](int i, int o) { return -shared.scale[i] * map.dresult.at(i, o); };
  // By the weights or sums behind the piece.
  const auto dbehind = [&](int i, int o) {
    return ends ? map.dW.at(i, o) : inside(i, o) ? map.dW_sum[i * map.true_out + o] : 0.0F;
  };
  for_rows(piece.n, [&](int i) {
    const float sum = row_dot(map.out, &map.dresult.at(i, 0), &map.learned.at(i, 0));
    if (threadIdx.x % 32 == 0) work.token_scale()[piece.index + i] -= sum;
  });
  product<Format>(
      rows, rows, map.out, learned_gradient, [&](int o, int j) { return shared.weighted(l, j, o); },
      [&](int i, int j, float sum) { shared.dscores.at(i, j) = j <= i ? sum : 0.0F; });
  for_items(rows, map.out, [&](int row, int column) {
    Sums sums;
    sums.add<Format>(
        row, column, 0, map.in, [&](int j, int i) { return x.at(j, i); }, dbehind);
    sums.each(row, column, [&](int j, int o, float& sum) {
      if (o < map.true_out) sum += ends ? map.db.at(0, o) : map.db_sum[o];
      shared.back.at(j, o) = sum;
      sum *= factor;
    });
    sums.add<Format>(
        row, column, row, rows, [&](int j, int i) { return map.scores.at(i, j); }, learned_gradient);
    sums.each(row, column, [&](int j, int o, float sum) { map.dweighted.at(j, o) = sum; });
  });
  for_items(rows, map.in, [&](int row, int column) {
    Sums dx;
    dx.add<Format>(
        row, column, 0, map.out, [&](int j, int o) { return shared.weighted(l, j, o); },
        [&](int o, int i) { return dbehind(i, o); });
    dx.each(row, column, [&](int, int, float& sum) { sum *= factor; });
    dx.add<Format>(
        row, column, row, rows, [&](int j, int i) { return shared.dscores.at(i, j); },
        [&](int i, int c) { return y.at(i, c); });
    dx.each(row, column, [&](int j, int i, float sum) { map.dx.at(j, i) = sum; });
    Sums dy;
    dy.add<Format>(
        row, column, 0, row + item, [&](int i, int j) { return shared.dscores.at(i, j); },
        [&](int j, int c) { return x.at(j, c); });
    dy.add<Format>(
        row, column, 0, map.out, [&](int i, int o) { return map.dresult.at(i, o); },
        [&](int o, int c) { return map.W.at(c, o); });
    if (begun)
      dy.add<Format>(row, column, 0, map.out, learned_gradient,
                     [&](int o, int c) { return inside(c, o) ? map.W_sum[c * map.true_out + o] : 0.0F; });
    dy.each(row, column, [&](int i, int c, float sum) {
      if (l > 0)
        shared.maps[l - 1].dresult.at(i, c) = sum * shared.maps[l - 1].y_slope.at(i, c);
      else if (i < piece.n && c < map.true_in)
        work.row(work.into.q, piece, i)[c] = work.row(work.dz, piece, i)[c] + sum;
    });
  });
  __syncthreads();
  if (ends) last_scale_gradient(work, piece, l);
  for_items(map.in, map.out, [&](int row, int column) {
    const auto from_y = [&](int c, int i) { return y.at(i, c); };
    Sums sums;
    sums.add<Format>(row, column, 0, rows, from_y, [&](int i, int o) { return map.dresult.at(i, o); });
    sums.each(row, column, [&](int i, int o, float sum) {
      if (!inside(i, o)) return;
      float& of_sum = map.dW_sum[i * map.true_out + o];
      if (begun && ends) of_sum = factor * map.dW.at(i, o);
      if (!begun && !ends) of_sum = 0;
      map.dW.at(i, o) += sum;
    });
    if (!begun) return;
    Sums learned;
    learned.add<Format>(row, column, 0, rows, from_y, learned_gradient);
    learned.each(row, column, [&](int i, int o, float sum) {
      if (inside(i, o)) map.dW_sum[i * map.true_out + o] += sum;
    });
  });
  for_each(map.true_out, [&](int o) {
    float sum = 0, learned = 0;
    for (int i = 0; i < piece.n; ++i) {
      sum += map.dresult.at(i, o);
      learned += learned_gradient(i, o);
    }
    if (begun && ends) map.db_sum[o] = factor * map.db.at(0, o);
    if (!begun && !ends) map.db_sum[o] = 0;
    map.db.at(0, o) += sum;
    if (begun) map.db_sum[o] += learned;
  });
  __syncthreads();
}

/// From the gradients by eta_j G_j to those by the rates, and by G; and, of a map that others are below, from those by
/// G to the weights that it came through.
template <typename Format>
__device__ __forceinline__ void backward_rates(const Work& work, const Piece& piece) {
  const Shared& shared = work.shared;
  const int rows = work.sizes.rows(), last = work.sizes.maps - 1;
  for_rows(rows, [&](int j) {
    float of_rate = 0;
    for (int l = 0; l <= last; ++l) {
      const MapRecord& map = shared.maps[l];
      float* c = &map.dweighted.at(j, 0);
      if (j < piece.n) of_rate += row_dot(map.out, c, &map.gradient.at(j, 0));
      for_columns(map.out, [&](int o) {
        const float by_gradient = j < piece.n ? c[o] * shared.eta[j] : 0.0F;
        c[o] = by_gradient;
        if (l == last) return;
        shared.back.at(j, o) = by_gradient * map.slope.at(j, o);
        c[o] = by_gradient * map.curvature.at(j, o);
      });
    }
    if (j < piece.n && threadIdx.x % 32 == 0) work.into.eta[work.head.token(work.sizes, piece.begin + j)] = of_rate;
  });
  __syncthreads();
  // G_{l-1} = (G_l W_l^T) * slope_{l-1}
  for (int l = 1; l <= last; ++l) {
    const MapRecord& map = shared.maps[l];
    product<Format>(
        rows, map.out, map.in, [&](int j, int i) { return shared.back.at(j, i); },
        [&](int i, int o) { return map.W.at(i, o); }, [&](int j, int o, float sum) { map.dweighted.at(j, o) += sum; });
    product<Format>(
        map.in, map.out, rows, [&](int i, int j) { return shared.back.at(j, i); },
        [&](int j, int o) { return map.gradient.at(j, o); }, [&](int i, int o, float sum) { map.dW.at(i, o) += sum; });
  }
}

/// Through the training view: from the gradients by G of the last map, and by the results of the others, to the keys,
/// labels, the norm and the weights.
template <typename Format>
__device__ __forceinline__ void backward_training_view(const Work& work, const Piece& piece) {
  const Shared& shared = work.shared;
  const int rows = work.sizes.rows(), d = work.sizes.d, last = work.sizes.maps - 1;
  const Matrix &de = shared.y_normal, &by_weight = shared.back;
  for_rows(piece.n, [&](int j) {
    loss_gradient_backward_row(work.norm, &shared.x_normal.at(j, 0), shared.x_inverse[j], &shared.k.at(j, 0),
                               &shared.v.at(j, 0), &shared.maps[last].gradient.at(j, 0),
                               &shared.maps[last].dweighted.at(j, 0), &de.at(j, 0), &by_weight.at(j, 0));
    float* dv = work.row(work.into.v, piece, j);
    for_columns(d, [&](int c) { dv[c] = -de.at(j, c); });
  });
  __syncthreads();
  for_each(d, [&](int c) {
    float weight = 0, bias = 0;
    for (int j = 0; j < piece.n; ++j) {
      weight += by_weight.at(j, c);
      bias += de.at(j, c);
    }
    work.norm_weight()[c] += weight;
    work.norm_bias()[c] += bias;
  });
  for (int l = last; l >= 0; --l) {
    const MapRecord& map = shared.maps[l];
    const Matrix& x = shared.x(l);
    product<Format>(
        map.in, map.out, rows, [&](int i, int j) { return x.at(j, i); },
        [&](int j, int o) { return map.dweighted.at(j, o); }, [&](int i, int o, float sum) { map.dW.at(i, o) += sum; });
    for_each(map.true_out, [&](int o) {
      float sum = 0;
      for (int j = 0; j < piece.n; ++j) sum += map.dweighted.at(j, o);
      map.db.at(0, o) += sum;
    });
    product<Format>(
        rows, map.in, map.out, [&](int j, int o) { return map.dweighted.at(j, o); },
        [&](int o, int i) { return map.W.at(i, o); },
        [&](int j, int i, float sum) {
          sum += map.dx.at(j, i);
          if (l > 0)
            shared.maps[l - 1].dweighted.at(j, i) += sum * shared.maps[l - 1].slope.at(j, i);
          else if (j < piece.n && i < map.true_in)
            work.row(work.into.k, piece, j)[i] = sum + de.at(j, i);
        });
  }
}

template <typename Format>
__device__ __forceinline__ void backward_piece(const Work& work, const Piece& piece) {
  Shared& shared = work.shared;
  take_gradients<Format, true>(work.sizes, work.norm, piece, shared, shared.x_inverse);
  read_out<Format, true>(work.sizes, piece, shared);
  for_rows(piece.n, [&](int i) {
    const float inverse = normalise_row(work.norm, &shared.y_normal.at(i, 0));
    if (threadIdx.x % 32 == 0) shared.y_inverse[i] = inverse;
  });
  __syncthreads();
  backward_norm(work, piece);
  for (int l = work.sizes.maps - 1; l >= 0; --l) backward_read_out<Format>(work, piece, l);
  backward_rates<Format>(work, piece);
  backward_training_view<Format>(work, piece);
}

}  // namespace zoo::gpu::fast
