#include "zoo/core/parallel.h"
#include "zoo/cpu/fast_weights.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/fast_weights_backward.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/fast_weights_piece-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// FastWeightsScratch of a thread: gradients of what a piece computes, d(.) of the names in MapRecord.
template <typename T>
struct Gradients {
  explicit Gradients(const FastWeightsSizes& sizes) : forward(sizes) {
    const auto rows = static_cast<std::size_t>(forward.widest * max_piece);
    for (PoolVector<T>* each : {&result, &learned, &y, &back}) each->resize(rows);
    for (std::size_t l = 0; l < static_cast<std::size_t>(sizes.maps); ++l) {
      weighted[l].resize(rows);
      if (l > 0) x[l].resize(rows);
    }
    transposed.resize(static_cast<std::size_t>(forward.widest * std::max(forward.widest, max_piece)));
    scores.resize(static_cast<std::size_t>(max_piece * max_piece));
  }

  FastWeightsScratch<T> forward;
  PoolVector<T> result;   // by a map's results in the test view
  PoolVector<T> learned;  // by what its weights have learned
  PoolVector<T> y;
  PoolVector<T> back;  // by G W^T, and other rows
  std::array<PoolVector<T>, max_maps> weighted;
  std::array<PoolVector<T>, max_maps> x;
  PoolVector<T> scores;
  PoolVector<T> transposed;  // of sums before the piece, or rows
};

// Where the gradients of one head go.
template <typename T>
struct Into {
  const FastWeightsHead* head;
  const FastWeightsGradients<T>* all;
  FastMaps<T> maps;  // on their way back through the pieces

  T* token_scale() const { return all->token_scale + head->index() * head->sizes->mini_batch; }
  HeadNormGradients<T> norm() const {
    return {all->norm_weight + head->index() * head->d(), all->norm_bias + head->index() * head->d()};
  }
};

template <typename T>
Rowwise<const T> rows_of(const PoolVector<T>& memory, std::int64_t stride) {
  return {memory.data(), stride};
}
template <typename T>
Rowwise<T> rows_of(PoolVector<T>& memory, std::int64_t stride) {
  return {memory.data(), stride};
}

// result += rows W^T.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void add_through_weights(D d, std::int64_t n, const MapRecord<T>& map, const T* rows, Gradients<T>& scratch,
                                    const Rowwise<T>& result) {
  T *transposed = scratch.transposed.data(), *products = scratch.forward.rows.data();
  transpose(d, n, map.out, constant(rows, map.out), Rowwise<T>{transposed, n});
  through_transpose<D>(d, n, map.in, map.out, transposed, map.W, scratch.back.data(), Rowwise<T>{products, map.in});
  for (std::int64_t i = 0; i < n; ++i) {
    add_scaled(d, map.in, T{1}, static_cast<const T*>(products + i * map.in), result.data + i * result.stride);
  }
}

// Through the weights or sums behind the piece: to the gradients of its tokens, the inputs that they belong to, and the
// scale. `dx` is added to. scratch.forward.transposed holds `weighted`, transposed.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void backward_advance(D d, const Tokens<T>& tokens, const Record<T>& record, std::size_t l,
                                   const Rowwise<T>& dx, Gradients<T>& scratch, const Into<T>& into) {
  const std::int64_t n = tokens.piece.n;
  const MapRecord<T>& map = record.maps[l];
  const FastMapTensors<T>& gradients = into.maps[l];
  const bool ends = tokens.piece.ends, begun = tokens.piece.index > 0;
  const T* dW = ends ? gradients.W : gradients.W_sum;
  const T* db = ends ? gradients.b : gradients.b_sum;
  const T factor = ends ? -tokens.scale[n - 1] : T{1};

  T* through = scratch.back.data();
  small_matmul<false>(d, n, map.out, map.in, by_rows(tokens.x(record, l)), constant(dW, map.out),
                      Rowwise<T>{through, map.out});
  add_to_rows(d, n, map.out, db, through);
  add_scaled(d, n * map.out, factor, static_cast<const T*>(through), scratch.weighted[l].data());
  T* scale_gradient = into.token_scale() + tokens.piece.index + n - 1;
  if (ends) *scale_gradient -= dot(d, n * map.out, static_cast<const T*>(map.weighted), static_cast<const T*>(through));

  T* rows = scratch.transposed.data();
  through_transpose<D>(d, n, map.in, map.out, scratch.forward.transposed.data(), dW, through, Rowwise<T>{rows, map.in});
  for (std::int64_t j = 0; j < n; ++j) {
    add_scaled(d, map.in, factor, static_cast<const T*>(rows + j * map.in), dx.data + j * dx.stride);
  }

  if (!ends || !begun) return;
  const std::int64_t count = map.in * map.out;
  *scale_gradient -=
      dot(d, count, static_cast<const T*>(map.W_sum), dW) + dot(d, map.out, static_cast<const T*>(map.b_sum), db);
  scale_rows(d, 1, count, &factor, constant(dW, 0), Rowwise<T>{gradients.W_sum, 0});
  scale_rows(d, 1, map.out, &factor, constant(db, 0), Rowwise<T>{gradients.b_sum, 0});
}

// Through one map of the test view, from the gradients by its results (scratch.result) to those by its inputs
// (scratch.y), its weights and sums, and what they learned from: scratch.weighted[l] and dx.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void backward_read_out(D d, const Tokens<T>& tokens, const Record<T>& record, std::size_t l,
                                    const Rowwise<T>& dx, Gradients<T>& scratch, const Into<T>& into) {
  const std::int64_t n = tokens.piece.n;
  const MapRecord<T>& map = record.maps[l];
  const FastMapTensors<T>& gradients = into.maps[l];
  const Rowwise<const T> x = tokens.x(record, l), y = tokens.y(record, l);
  const T* result = scratch.result.data();
  T* learned = scratch.learned.data();
  for (std::int64_t i = 0; i < n; ++i) {
    into.token_scale()[tokens.piece.index + i] -=
        dot(d, map.out, result + i * map.out, static_cast<const T*>(map.learned + i * map.out));
    const T factor = -tokens.scale[i];
    scale_rows(d, 1, map.out, &factor, constant(result + i * map.out, 0), Rowwise<T>{learned + i * map.out, 0});
  }
  const Rowwise<const T> dlearned = constant<T>(learned, map.out);
  T* scores = scratch.scores.data();
  causal_products(d, n, map.out, dlearned, constant<T>(map.weighted, map.out), T{0}, scratch.forward, scores);
  sum_future<false>(d, n, map.out, map.scores, dlearned, rows_of(scratch.weighted[l], map.out));
  sum_future<false>(d, n, map.in, scores, y, dx);
  const Rowwise<T> dy = rows_of(scratch.y, map.in);
  sum_past<false>(d, n, map.in, scores, x, dy);
  add_through_weights(d, n, map, result, scratch, dy);

  backward_advance(d, tokens, record, l, dx, scratch, into);

  small_matmul<true>(d, map.in, map.out, n, by_columns(y), constant(result, map.out), Rowwise<T>{gradients.W, map.out});
  add_rows_to(d, n, map.out, T{1}, result, gradients.b);
  if (tokens.piece.index == 0) {
    // The sums were 0.
    if (tokens.piece.ends) return;
    std::fill_n(gradients.W_sum, map.in * map.out, T{0});
    std::fill_n(gradients.b_sum, map.out, T{0});
    return;
  }
  transpose(d, map.in, map.out, constant<T>(map.W_sum, map.out), rows_of(scratch.transposed, map.in));
  small_matmul<true>(d, n, map.in, map.out, by_rows(dlearned), constant<T>(scratch.transposed.data(), map.in), dy);
  small_matmul<true>(d, map.in, map.out, n, by_columns(y), dlearned, Rowwise<T>{gradients.W_sum, map.out});
  add_rows_to(d, n, map.out, T{1}, static_cast<const T*>(learned), gradients.b_sum);
}

// Through the gradients that were taken: from those by them (scratch.weighted) to the training views, the rates, the
// norm and the weights.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void backward_gradients(D d, const HeadNorm<T>& norm, const Tokens<T>& tokens, const Record<T>& record,
                                     const Rowwise<T>& dk, Gradients<T>& scratch, const Into<T>& into) {
  const FastWeightsSizes& sizes = *into.head->sizes;
  const auto L = static_cast<std::size_t>(sizes.maps);
  const std::int64_t n = tokens.piece.n;
  T* eta = into.head->values(into.all->eta, tokens.piece.begin);
  for (std::int64_t j = 0; j < n; ++j) eta[j * tokens.eta_step] = 0;
  for (std::size_t l = 0; l < L; ++l) {
    const MapRecord<T>& map = record.maps[l];
    T* c = scratch.weighted[l].data();
    for (std::int64_t j = 0; j < n; ++j) {
      T* row = c + j * map.out;
      eta[j * tokens.eta_step] +=
          dot(d, map.out, static_cast<const T*>(row), static_cast<const T*>(map.gradient + j * map.out));
      scale_rows(d, 1, map.out, &tokens.eta[j * tokens.eta_step], constant<T>(row, 0), Rowwise<T>{row, 0});
    }
    if (l == 0) continue;
    // G_{l-1} = (G_l W_l^T) * slope_{l-1}
    const MapRecord<T>& below = record.maps[l - 1];
    T* c_below = scratch.weighted[l - 1].data();
    T* back = scratch.back.data();
    for_vectors(d, n * map.in, [&](std::int64_t i, auto part) HWY_ATTR {
      const auto ci = part.load(d, c_below + i);
      part.store(hn::Mul(ci, part.load(d, below.slope + i)), d, back + i);
      part.store(hn::Mul(ci, part.load(d, below.curvature + i)), d, c_below + i);
    });
    small_matmul<true>(d, n, map.out, map.in, by_rows(constant<T>(back, map.in)), constant<T>(map.W, map.out),
                       Rowwise<T>{c, map.out});
    small_matmul<true>(d, map.in, map.out, n, by_columns(constant<T>(back, map.in)), constant<T>(map.gradient, map.out),
                       Rowwise<T>{into.maps[l].W, map.out});
  }
  const Rowwise<T> dv = into.head->rows(into.all->v, tokens.piece.begin);
  for (std::int64_t j = 0; j < n; ++j) {
    T* dv_row = dv.data + j * dv.stride;
    std::fill_n(dv_row, norm.count, T{0});
    loss_gradient_backward_row(d, norm, static_cast<const T*>(record.x_normal + j * norm.count), record.x_inverse[j],
                               tokens.k.data + j * tokens.k.stride, tokens.v.data + j * tokens.v.stride,
                               static_cast<const T*>(record.maps[L - 1].gradient + j * norm.count),
                               scratch.weighted[L - 1].data() + j * norm.count, dk.data + j * dk.stride, dv_row,
                               into.norm());
  }
  for (std::size_t l = L; l-- > 0;) {
    const MapRecord<T>& map = record.maps[l];
    const Rowwise<const T> c = constant<T>(scratch.weighted[l].data(), map.out);
    const Rowwise<T> dx = l == 0 ? dk : rows_of(scratch.x[l], map.in);
    small_matmul<true>(d, map.in, map.out, n, by_columns(tokens.x(record, l)), c, Rowwise<T>{into.maps[l].W, map.out});
    add_rows_to(d, n, map.out, T{1}, c.data, into.maps[l].b);
    add_through_weights(d, n, map, c.data, scratch, dx);
    if (l == 0) break;
    T* c_below = scratch.weighted[l - 1].data();
    for_vectors(d, n * map.in, [&](std::int64_t i, auto part) HWY_ATTR {
      const auto slope = part.load(d, record.maps[l - 1].slope + i);
      part.store(hn::MulAdd(part.load(d, dx.data + i), slope, part.load(d, c_below + i)), d, c_below + i);
    });
  }
}

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void backward_piece(D d, const HeadNorm<T>& norm, const Tokens<T>& tokens, const Record<T>& record,
                                 const T* z_gradient, Gradients<T>& scratch, const Into<T>& into) {
  const auto L = static_cast<std::size_t>(into.head->sizes->maps);
  const std::int64_t n = tokens.piece.n;
  const Rowwise<const T> dz = into.head->rows(z_gradient, tokens.piece.begin);
  const Rowwise<T> dk = into.head->rows(into.all->k, tokens.piece.begin);
  for (std::int64_t i = 0; i < n; ++i) {
    read_out_backward_row(d, norm, static_cast<const T*>(record.y_normal + i * norm.count), record.y_inverse[i],
                          dz.data + i * dz.stride, scratch.result.data() + i * norm.count, into.norm());
  }
  for (std::size_t l = L; l-- > 0;) {
    const MapRecord<T>& map = record.maps[l];
    const Rowwise<T> dx = l == 0 ? dk : rows_of(scratch.x[l], map.in);
    backward_read_out(d, tokens, record, l, dx, scratch, into);
    if (l == 0) break;
    for_vectors(d, n * map.in, [&](std::int64_t i, auto part) HWY_ATTR {
      const auto slope = part.load(d, record.maps[l - 1].y_slope + i);
      part.store(hn::Mul(part.load(d, scratch.y.data() + i), slope), d, scratch.result.data() + i);
    });
  }
  const Rowwise<T> dq = into.head->rows(into.all->q, tokens.piece.begin);
  for (std::int64_t i = 0; i < n; ++i) {
    for_vectors(d, norm.count, [&](std::int64_t c, auto part) HWY_ATTR {
      const auto straight = part.load(d, dz.data + i * dz.stride + c);
      const auto inward = part.load(d, scratch.y.data() + i * norm.count + c);
      part.store(hn::Add(straight, inward), d, dq.data + i * dq.stride + c);
    });
  }
  backward_gradients(d, norm, tokens, record, dk, scratch, into);
}

// What a thread keeps of the pieces between two checkpoints.
template <typename T>
struct Segment {
  explicit Segment(const FastWeightsSizes& sizes)
      : maps(static_cast<std::size_t>(2 * sizes.weights())), begins(static_cast<std::size_t>(sizes.pieces())) {
    const std::int64_t kept = std::min(sizes.checkpoint_spacing(), sizes.pieces());
    records.reserve(static_cast<std::size_t>(kept));
    for (std::int64_t i = 0; i < kept; ++i) records.emplace_back(sizes, true);
    std::int64_t begin = 0;
    for (std::int64_t& each : begins) {
      each = begin;
      begin += sizes.piece(begin).n;
    }
  }

  PoolVector<T> maps;
  PoolVector<std::int64_t> begins;
  PoolVector<Record<T>> records;
};

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void backward_head(D d, const FastWeightsHead& head, const FastWeightsInputs<T>& inputs,
                                const T* checkpoints, const T* z_gradient, Gradients<T>& scratch, Segment<T>& segment,
                                const Into<T>& into) {
  const FastWeightsSizes& sizes = *head.sizes;
  const auto L = static_cast<std::size_t>(sizes.maps);
  const HeadNorm<T> norm = head.norm(inputs);
  const FastMaps<T> maps = laid_out(sizes, segment.maps.data(), true);
  std::fill_n(into.token_scale(), sizes.mini_batch, T{0});
  std::fill_n(into.norm().weight, head.d(), T{0});
  std::fill_n(into.norm().bias, head.d(), T{0});
  const std::int64_t spacing = sizes.checkpoint_spacing();
  for (std::int64_t number = sizes.checkpoints(); number >= 0; --number) {
    if (number == 0) {
      copy_maps(sizes, without_sums(head.maps(inputs.maps), sizes.first == 0), maps);
    } else {
      const T* kept = checkpoints + (head.index() * sizes.checkpoints() + number - 1) * sizes.checkpoint_values();
      copy_maps(sizes, laid_out(sizes, kept, sizes.mini_batch > max_piece), maps);
    }
    const std::int64_t first = number * spacing, last = std::min(first + spacing, sizes.pieces());
    const auto tokens_of = [&](std::int64_t piece) {
      return Tokens<T>(head, sizes.piece(segment.begins[static_cast<std::size_t>(piece)]), inputs);
    };
    for (std::int64_t piece = first; piece < last; ++piece) {
      Record<T>& record = segment.records[static_cast<std::size_t>(piece - first)];
      const Tokens<T> tokens = tokens_of(piece);
      take_gradients(d, norm, tokens, L, maps, scratch.forward, record);
      read_out(d, norm, tokens, L, maps, scratch.forward, record, Rowwise<T>{nullptr, 0});
      if (piece + 1 < last) advance(d, tokens, L, record, scratch.forward, maps);
    }
    for (std::int64_t piece = last; piece-- > first;) {
      backward_piece(d, norm, tokens_of(piece), segment.records[static_cast<std::size_t>(piece - first)], z_gradient,
                     scratch, into);
    }
  }
}

// Items [begin, end) of the B * H pairs of a sequence and a head.
template <typename T>
void backward_part(const FastWeightsSizes& sizes, const FastWeightsInputs<T>& inputs, const T* checkpoints,
                   const T* z_gradient, const FastMaps<const T>& map_gradients,
                   const FastWeightsGradients<T>& gradients, std::int64_t begin, std::int64_t end) {
  Gradients<T> scratch(sizes);
  Segment<T> segment(sizes);
  for (std::int64_t item = begin; item < end; ++item) {
    const FastWeightsHead head{&sizes, item / sizes.heads, item % sizes.heads};
    const Into<T> into{&head, &gradients, head.maps(gradients.maps)};
    copy_maps(sizes, without_sums(head.maps(map_gradients), (sizes.first + sizes.length) % sizes.mini_batch == 0),
              into.maps);
    backward_head(hn::ScalableTag<T>(), head, inputs, checkpoints, z_gradient, scratch, segment, into);
  }
}

// For the dispatch, which takes no templates.
void fast_weights_backward_float(const FastWeightsSizes& sizes, const FastWeightsInputs<float>& inputs,
                                 const float* checkpoints, const float* z_gradient,
                                 const FastMaps<const float>& map_gradients,
                                 const FastWeightsGradients<float>& gradients, std::int64_t begin, std::int64_t end) {
  backward_part(sizes, inputs, checkpoints, z_gradient, map_gradients, gradients, begin, end);
}
void fast_weights_backward_double(const FastWeightsSizes& sizes, const FastWeightsInputs<double>& inputs,
                                  const double* checkpoints, const double* z_gradient,
                                  const FastMaps<const double>& map_gradients,
                                  const FastWeightsGradients<double>& gradients, std::int64_t begin, std::int64_t end) {
  backward_part(sizes, inputs, checkpoints, z_gradient, map_gradients, gradients, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(fast_weights_backward_float);
HWY_EXPORT(fast_weights_backward_double);

void fast_weights_backward(const FastWeightsSizes& sizes, const FastWeightsInputs<float>& inputs,
                           const float* checkpoints, const float* z_gradient,
                           const FastMaps<const float>& map_gradients, const FastWeightsGradients<float>& gradients) {
  parallel_for(sizes.batch * sizes.heads, sizes.heads_of_a_thread(), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(fast_weights_backward_float)
    (sizes, inputs, checkpoints, z_gradient, map_gradients, gradients, begin, end);
  });
}

void fast_weights_backward(const FastWeightsSizes& sizes, const FastWeightsInputs<double>& inputs,
                           const double* checkpoints, const double* z_gradient,
                           const FastMaps<const double>& map_gradients, const FastWeightsGradients<double>& gradients) {
  parallel_for(sizes.batch * sizes.heads, sizes.heads_of_a_thread(), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(fast_weights_backward_double)
    (sizes, inputs, checkpoints, z_gradient, map_gradients, gradients, begin, end);
  });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
