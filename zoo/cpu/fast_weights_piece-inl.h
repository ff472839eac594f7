// What the fast weights' forward and backward kernels share: the arithmetic of a piece, the tokens of one mini-batch
// that are processed at once. Included once for each instruction set (hence no #pragma once).
#if defined(ZOO_CPU_FAST_WEIGHTS_PIECE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_FAST_WEIGHTS_PIECE_INL_H_
#undef ZOO_CPU_FAST_WEIGHTS_PIECE_INL_H_
#else
#define ZOO_CPU_FAST_WEIGHTS_PIECE_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "hwy/highway.h"
#include "zoo/core/pool.h"
#include "zoo/cpu/fast_weights.h"
#include "zoo/cpu/fast_weights_rows-inl.h"
#include "zoo/cpu/small_matmul-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t max_maps = FastWeightsSizes::max_maps;
constexpr std::int64_t max_piece = FastWeightsSizes::max_piece;

/// One head of one sequence.
struct Head {
  const FastWeightsSizes* sizes;
  std::int64_t sequence;
  std::int64_t head;

  std::int64_t index() const { return sequence * sizes->heads + head; }
  std::int64_t d() const { return sizes->widths[0]; }
  /// Its rows of a tensor [B,T,H,d] from a token on.
  template <typename Element>
  Rowwise<Element> rows(Element* tensor, std::int64_t begin) const {
    return {tensor + ((sequence * sizes->length + begin) * sizes->heads + head) * d(), sizes->heads * d()};
  }
  /// Its values of a tensor [B,T,H] from a token on, `heads` apart.
  template <typename Element>
  Element* values(Element* tensor, std::int64_t begin) const {
    return tensor + (sequence * sizes->length + begin) * sizes->heads + head;
  }
  /// Its part of the maps.
  template <typename Element>
  FastMaps<Element> maps(const FastMaps<Element>& all) const {
    FastMaps<Element> result;
    for (std::size_t l = 0; l < static_cast<std::size_t>(sizes->maps); ++l) {
      const std::int64_t in = sizes->widths[l], out = sizes->widths[l + 1];
      const auto part = [&](Element* tensor, std::int64_t count) {
        return tensor == nullptr ? nullptr : tensor + index() * count;
      };
      result[l] = {part(all[l].W, in * out), part(all[l].b, out), part(all[l].W_sum, in * out),
                   part(all[l].b_sum, out)};
    }
    return result;
  }
  template <typename T>
  HeadNorm<T> norm(const FastWeightsInputs<T>& inputs) const {
    return {inputs.norm_weight + head * d(), inputs.norm_bias + head * d(), d(), static_cast<T>(sizes->epsilon)};
  }
};

/// What belongs to one map of a piece: names as in the layers' formulas, a token a row. Memory of `Record`.
template <typename T>
struct MapRecord {
  std::int64_t in, out;
  T* W;             // at the mini-batch's start; where the backward pass needs it again
  T* W_transposed;  // where it is needed
  T* W_sum;         // before the piece, where pieces begin within a mini-batch; for the backward pass
  T* b_sum;
  T* x;          // inputs of the training view; not of map 0, whose inputs are k
  T* slope;      // gelu' at the results of the training view; not of the last map
  T* curvature;  // gelu'' there, times the gradients by its results
  T* gradient;   // G: of the loss by the results of the training view
  T* weighted;   // eta_j G_j
  T* y;          // inputs of the test view; not of map 0, whose inputs are q
  T* y_slope;    // gelu' at the results of the test view; not of the last map
  T* scores;     // [i][j]: y_i . x_j + 1 for j <= i, else 0
  T* learned;    // sum_{j<=i} scores[i][j] eta_j G_j, and what the sums before the piece add
};

/// What a piece computes, as much of it as its backward pass reads.
template <typename T>
class Record {
 public:
  /// `for_backward`: keeps what the backward pass reads.
  Record(const FastWeightsSizes& sizes, bool for_backward) : keeps(for_backward) {
    memory_.resize(static_cast<std::size_t>(lay_out(sizes, nullptr)));
    lay_out(sizes, memory_.data());
  }
  bool keeps;
  std::array<MapRecord<T>, max_maps> maps = {};
  T* x_normal;   // x^ of the training view's results
  T* x_inverse;  // 1/sigma of each row
  T* y_normal;   // of the test view's
  T* y_inverse;

 private:
  // Places everything from `memory` on; returns the number of values.
  std::int64_t lay_out(const FastWeightsSizes& sizes, T* memory) {
    const std::int64_t n = std::min({sizes.mini_batch, sizes.length, max_piece});
    std::int64_t used = 0;
    const auto take = [&](bool wanted, std::int64_t count) -> T* {
      if (!wanted) return nullptr;
      T* taken = memory == nullptr ? nullptr : memory + used;
      used += (count + 15) / 16 * 16;
      return taken;
    };
    const auto L = static_cast<std::size_t>(sizes.maps);
    for (std::size_t l = 0; l < L; ++l) {
      const bool last = l + 1 == L;
      MapRecord<T>& map = maps[l];
      map.in = sizes.widths[l];
      map.out = sizes.widths[l + 1];
      map.W = take(keeps && l > 0, map.in * map.out);
      map.W_transposed = take(keeps || l > 0, map.in * map.out);
      map.W_sum = take(keeps && sizes.begins_within(), map.in * map.out);
      map.b_sum = take(keeps && sizes.begins_within(), map.out);
      map.x = take(l > 0, n * map.in);
      map.slope = take(!last, n * map.out);
      map.curvature = take(keeps && !last, n * map.out);
      map.gradient = take(true, n * map.out);
      map.weighted = take(true, n * map.out);
      map.y = take(l > 0, n * map.in);
      map.y_slope = take(keeps && !last, n * map.out);
      map.scores = take(true, n * n);
      map.learned = take(true, n * map.out);
    }
    x_normal = take(true, n * sizes.widths[0]);
    y_normal = take(true, n * sizes.widths[0]);
    x_inverse = take(true, n);
    y_inverse = take(true, n);
    return used;
  }

  PoolVector<T> memory_;
};

/// Scratch of a thread, for one piece.
template <typename T>
struct Scratch {
  explicit Scratch(const FastWeightsSizes& sizes)
      : widest(*std::max_element(sizes.widths.begin(), sizes.widths.begin() + sizes.maps + 1)),
        transposed(static_cast<std::size_t>(widest * max_piece)),
        rows(static_cast<std::size_t>(widest * max_piece)) {}

  std::int64_t widest;
  PoolVector<T> transposed;  // [channel][token]
  PoolVector<T> rows;        // [token][channel]
};

/// The views of a piece's tokens.
template <typename T>
struct Tokens {
  FastWeightsPiece piece;
  Rowwise<const T> q, k, v;
  const T* eta;  // `eta_step` apart
  std::int64_t eta_step;
  const T* scale;

  Tokens(const Head& head, const FastWeightsPiece& at, const FastWeightsInputs<T>& inputs)
      : piece(at),
        q(head.rows(inputs.q, at.begin)),
        k(head.rows(inputs.k, at.begin)),
        v(head.rows(inputs.v, at.begin)),
        eta(head.values(inputs.eta, at.begin)),
        eta_step(head.sizes->heads),
        scale(inputs.token_scale + at.index) {}
  /// Inputs of a map in the training view, and in the test view.
  Rowwise<const T> x(const Record<T>& record, std::size_t l) const {
    return l == 0 ? k : Rowwise<const T>{record.maps[l].x, record.maps[l].in};
  }
  Rowwise<const T> y(const Record<T>& record, std::size_t l) const {
    return l == 0 ? q : Rowwise<const T>{record.maps[l].y, record.maps[l].in};
  }
};

template <typename T>
Strided<T> by_rows(const Rowwise<const T>& rows) {
  return {rows.data, rows.stride, 1};
}
template <typename T>
Strided<T> by_columns(const Rowwise<const T>& rows) {
  return {rows.data, 1, rows.stride};
}
template <typename T>
Rowwise<const T> constant(const T* rows, std::int64_t stride) {
  return {rows, stride};
}

/// Adds a row to each of n rows.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void add_to_rows(D d, std::int64_t n, std::int64_t count, const T* row, T* rows) {
  for (std::int64_t i = 0; i < n; ++i) {
    for_vectors(d, count, [&](std::int64_t c, auto part) HWY_ATTR {
      part.store(hn::Add(part.load(d, rows + i * count + c), part.load(d, row + c)), d, rows + i * count + c);
    });
  }
}

/// row += factor * sum of n rows.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void add_rows_to(D d, std::int64_t n, std::int64_t count, T factor, const T* rows, T* row) {
  const auto by = hn::Set(d, factor);
  for_vectors(d, count, [&](std::int64_t c, auto part) HWY_ATTR {
    auto total = hn::Zero(d);
    for (std::int64_t i = 0; i < n; ++i) total = hn::Add(total, part.load(d, rows + i * count + c));
    part.store(hn::MulAdd(by, total, part.load(d, row + c)), d, row + c);
  });
}

/// to += factor * from.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void add_scaled(D d, std::int64_t count, T factor, const T* from, T* to) {
  const auto by = hn::Set(d, factor);
  for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
    part.store(hn::MulAdd(by, part.load(d, from + i), part.load(d, to + i)), d, to + i);
  });
}

/// result[i][j] = a_i . b_j + shift for j <= i, else 0, as [n][n].
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void causal_products(D d, std::int64_t n, std::int64_t channels, const Rowwise<const T>& a,
                                const Rowwise<const T>& b, T shift, Scratch<T>& scratch, T* result) {
  T* transposed = scratch.transposed.data();
  transpose(d, n, channels, b, Rowwise<T>{transposed, n});
  small_matmul_within<false>(d, n, by_rows(a), constant(transposed, n), Rowwise<T>{result, n},
                             [channels](std::int64_t i, std::int64_t rows) {
                               return BlockRange{0, i + rows, 0, channels};
                             });
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) result[i * n + j] += shift;
    std::fill(result + i * n + i + 1, result + (i + 1) * n, T{0});
  }
}

/// result[i] = or += sum_{j<=i} weights[i][j] values[j].
template <bool add, class D, typename T = hn::TFromD<D>>
HWY_INLINE void sum_past(D d, std::int64_t n, std::int64_t channels, const T* weights, const Rowwise<const T>& values,
                         const Rowwise<T>& result) {
  small_matmul_within<add>(d, n, Strided<T>{weights, n, 1}, values, result,
                           [channels](std::int64_t i, std::int64_t rows) {
                             return BlockRange{0, channels, 0, i + rows};
                           });
}

/// result[j] = or += sum_{i>=j} weights[i][j] values[i].
template <bool add, class D, typename T = hn::TFromD<D>>
HWY_INLINE void sum_future(D d, std::int64_t n, std::int64_t channels, const T* weights, const Rowwise<const T>& values,
                           const Rowwise<T>& result) {
  small_matmul_within<add>(d, n, Strided<T>{weights, 1, n}, values, result,
                           [channels, n](std::int64_t j, std::int64_t) {
                             return BlockRange{0, channels, j, n};
                           });
}

/// The gradients of the loss for a piece's tokens, at the weights of the mini-batch's start.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void take_gradients(D d, const HeadNorm<T>& norm, const Tokens<T>& tokens, std::size_t L,
                                 const FastMaps<T>& maps, Record<T>& record) {
  const std::int64_t n = tokens.piece.n;
  for (std::size_t l = 0; l < L; ++l) {
    MapRecord<T>& map = record.maps[l];
    const bool last = l + 1 == L;
    T* z = last ? record.x_normal : record.maps[l + 1].x;
    small_matmul<false>(d, n, map.out, map.in, by_rows(tokens.x(record, l)), constant(maps[l].W, map.out),
                        Rowwise<T>{z, map.out});
    add_to_rows(d, n, map.out, static_cast<const T*>(maps[l].b), z);
    if (last) break;
    for_vectors(d, n * map.out, [&](std::int64_t i, auto part) HWY_ATTR {
      const auto activation = gelu(d, part.load(d, z + i));
      part.store(activation.value, d, z + i);
      part.store(activation.slope, d, map.slope + i);
      if (record.keeps) part.store(activation.curvature, d, map.curvature + i);
    });
  }
  for (std::int64_t j = 0; j < n; ++j) {
    T* row = record.x_normal + j * norm.count;
    record.x_inverse[j] = normalise_row(d, norm, row);
    loss_gradient_row(d, norm, row, record.x_inverse[j], tokens.k.data + j * tokens.k.stride,
                      tokens.v.data + j * tokens.v.stride, record.maps[L - 1].gradient + j * norm.count);
  }
  for (std::size_t l = L; l-- > 0;) {
    MapRecord<T>& map = record.maps[l];
    for (std::int64_t j = 0; j < n; ++j) {
      const T eta = tokens.eta[j * tokens.eta_step];
      scale_rows(d, 1, map.out, &eta, constant(map.gradient + j * map.out, map.out),
                 Rowwise<T>{map.weighted + j * map.out, map.out});
    }
    if (map.W_transposed != nullptr) {
      transpose(d, map.in, map.out, constant<T>(maps[l].W, map.out), Rowwise<T>{map.W_transposed, map.in});
    }
    if (map.W != nullptr) std::copy_n(maps[l].W, map.in * map.out, map.W);
    if (l == 0) break;
    MapRecord<T>& below = record.maps[l - 1];
    small_matmul<false>(d, n, map.in, map.out, by_rows(constant<T>(map.gradient, map.out)),
                        constant<T>(map.W_transposed, map.in), Rowwise<T>{below.gradient, map.in});
    for_vectors(d, n * map.in, [&](std::int64_t i, auto part) HWY_ATTR {
      const auto back = part.load(d, below.gradient + i);
      if (record.keeps) part.store(hn::Mul(back, part.load(d, below.curvature + i)), d, below.curvature + i);
      part.store(hn::Mul(back, part.load(d, below.slope + i)), d, below.gradient + i);
    });
  }
}

/// z of a piece's tokens, through the weights that each of them meets.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void read_out(D d, const HeadNorm<T>& norm, const Tokens<T>& tokens, std::size_t L,
                           const FastMaps<T>& maps, Scratch<T>& scratch, Record<T>& record, const Rowwise<T>& z) {
  const std::int64_t n = tokens.piece.n;
  for (std::size_t l = 0; l < L; ++l) {
    MapRecord<T>& map = record.maps[l];
    const bool last = l + 1 == L, begun = tokens.piece.index > 0;
    const Rowwise<const T> y = tokens.y(record, l);
    const Rowwise<T> learned{map.learned, map.out};
    causal_products(d, n, map.in, y, tokens.x(record, l), T{1}, scratch, map.scores);
    sum_past<false>(d, n, map.out, map.scores, constant<T>(map.weighted, map.out), learned);
    if (begun) {
      if (map.W_sum != nullptr) {
        std::copy_n(maps[l].W_sum, map.in * map.out, map.W_sum);
        std::copy_n(maps[l].b_sum, map.out, map.b_sum);
      }
      small_matmul<true>(d, n, map.out, map.in, by_rows(y), constant<T>(maps[l].W_sum, map.out), learned);
      add_to_rows(d, n, map.out, static_cast<const T*>(maps[l].b_sum), map.learned);
    }
    T* result = last ? record.y_normal : record.maps[l + 1].y;
    small_matmul<false>(d, n, map.out, map.in, by_rows(y), constant<T>(maps[l].W, map.out),
                        Rowwise<T>{result, map.out});
    for (std::int64_t i = 0; i < n; ++i) {
      const auto scale = hn::Set(d, tokens.scale[i]);
      T* row = result + i * map.out;
      for_vectors(d, map.out, [&](std::int64_t c, auto part) HWY_ATTR {
        const auto start = hn::Add(part.load(d, row + c), part.load(d, maps[l].b + c));
        const auto now = hn::NegMulAdd(scale, part.load(d, map.learned + i * map.out + c), start);
        if (last) return part.store(now, d, row + c);
        const auto activation = gelu(d, now);
        part.store(activation.value, d, row + c);
        if (record.keeps) part.store(activation.slope, d, map.y_slope + i * map.out + c);
      });
    }
  }
  for (std::int64_t i = 0; i < n; ++i) {
    T* row = record.y_normal + i * norm.count;
    record.y_inverse[i] = normalise_row(d, norm, row);
    if (z.data != nullptr) {
      read_out_row(d, norm, row, tokens.q.data + i * tokens.q.stride, z.data + i * z.stride);
    }
  }
}

/// The sums, or at a mini-batch's end the weights, behind a piece.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void advance(D d, const Tokens<T>& tokens, std::size_t L, const Record<T>& record, Scratch<T>& scratch,
                          const FastMaps<T>& maps) {
  const std::int64_t n = tokens.piece.n;
  const bool begun = tokens.piece.index > 0, ends = tokens.piece.ends;
  const T scale = -tokens.scale[n - 1];
  for (std::size_t l = 0; l < L; ++l) {
    const MapRecord<T>& map = record.maps[l];
    const Strided<T> x = by_columns(tokens.x(record, l));
    if (ends && !begun) {
      T* scaled = scratch.rows.data();
      scale_rows(d, 1, n * map.out, &scale, constant<T>(map.weighted, 0), Rowwise<T>{scaled, 0});
      small_matmul<true>(d, map.in, map.out, n, x, constant<T>(scaled, map.out), Rowwise<T>{maps[l].W, map.out});
      add_rows_to(d, n, map.out, T{1}, static_cast<const T*>(scaled), maps[l].b);
      continue;
    }
    small_matmul<true>(d, map.in, map.out, n, x, constant<T>(map.weighted, map.out),
                       Rowwise<T>{maps[l].W_sum, map.out});
    add_rows_to(d, n, map.out, T{1}, static_cast<const T*>(map.weighted), maps[l].b_sum);
    if (!ends) continue;
    add_scaled(d, map.in * map.out, scale, static_cast<const T*>(maps[l].W_sum), maps[l].W);
    add_scaled(d, map.out, scale, static_cast<const T*>(maps[l].b_sum), maps[l].b);
    std::fill_n(maps[l].W_sum, map.in * map.out, T{0});
    std::fill_n(maps[l].b_sum, map.out, T{0});
  }
}

/// Copies one head's weights, and its sums where `to` has room for them; what `from` lacks is 0.
template <typename T>
void copy_maps(const FastWeightsSizes& sizes, const FastMaps<const T>& from, const FastMaps<T>& to) {
  const auto copy = [](const T* source, std::int64_t count, T* target) {
    if (target == nullptr) return;
    if (source == nullptr) {
      std::fill_n(target, count, T{0});
    } else {
      std::copy_n(source, count, target);
    }
  };
  for (std::size_t l = 0; l < static_cast<std::size_t>(sizes.maps); ++l) {
    const std::int64_t in = sizes.widths[l], out = sizes.widths[l + 1];
    copy(from[l].W, in * out, to[l].W);
    copy(from[l].b, out, to[l].b);
    copy(from[l].W_sum, in * out, to[l].W_sum);
    copy(from[l].b_sum, out, to[l].b_sum);
  }
}

/// The same maps without their sums, where the chunk begins with a mini-batch.
template <typename T>
FastMaps<const T> before_chunk(const FastWeightsSizes& sizes, FastMaps<const T> maps) {
  if (sizes.first > 0) return maps;
  for (FastMapTensors<const T>& map : maps) map.W_sum = map.b_sum = nullptr;
  return maps;
}

template <typename T>
FastMaps<const T> constant_maps(const FastMaps<T>& maps) {
  FastMaps<const T> result;
  for (std::size_t l = 0; l < max_maps; ++l) result[l] = {maps[l].W, maps[l].b, maps[l].W_sum, maps[l].b_sum};
  return result;
}

/// One head's maps in contiguous memory, of sizes.weights() values, or twice as many with sums.
template <typename Element>
FastMaps<Element> laid_out(const FastWeightsSizes& sizes, Element* memory, bool sums) {
  FastMaps<Element> result;
  for (std::size_t l = 0; l < static_cast<std::size_t>(sizes.maps); ++l) {
    const std::int64_t W = sizes.widths[l] * sizes.widths[l + 1], b = sizes.widths[l + 1];
    const auto take = [&](std::int64_t count) {
      Element* taken = memory;
      memory += count;
      return taken;
    };
    result[l].W = take(W);
    result[l].b = take(b);
    if (sums) {
      result[l].W_sum = take(W);
      result[l].b_sum = take(b);
    }
  }
  return result;
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard, by target
