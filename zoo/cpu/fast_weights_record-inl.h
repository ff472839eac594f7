// What the fast weights' kernels work on: a head's rows and maps, what is kept of a piece, and products with a causal
// half. Included once for each instruction set (hence no #pragma once).
#if defined(ZOO_CPU_FAST_WEIGHTS_RECORD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_FAST_WEIGHTS_RECORD_INL_H_
#undef ZOO_CPU_FAST_WEIGHTS_RECORD_INL_H_
#else
#define ZOO_CPU_FAST_WEIGHTS_RECORD_INL_H_
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
struct FastWeightsHead {
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
  T* W;      // at the mini-batch's start; for the backward pass
  T* W_sum;  // before the piece, where pieces begin within a mini-batch; for the backward pass
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
      map.W = take(keeps, map.in * map.out);
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

/// FastWeightsScratch of a thread, for one piece.
template <typename T>
struct FastWeightsScratch {
  explicit FastWeightsScratch(const FastWeightsSizes& sizes)
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

  Tokens(const FastWeightsHead& head, const FastWeightsPiece& at, const FastWeightsInputs<T>& inputs)
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

/// result = rows W^T for n rows and W [in][out], given the rows transposed: W is many times larger than they are, so
/// that W rows^T is formed, in `through` [in][n], and transposed, rather than W.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void through_transpose(D d, std::int64_t n, std::int64_t in, std::int64_t out, const T* rows_transposed,
                                  const T* W, T* through, const Rowwise<T>& result) {
  small_matmul<false>(d, in, n, out, Strided<T>{W, out, 1}, constant(rows_transposed, n), Rowwise<T>{through, n});
  transpose(d, in, n, constant<T>(through, n), result);
}

/// result[i][j] = a_i . b_j + shift for j <= i, else 0, as [n][n].
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void causal_products(D d, std::int64_t n, std::int64_t channels, const Rowwise<const T>& a,
                                const Rowwise<const T>& b, T shift, FastWeightsScratch<T>& scratch, T* result) {
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

/// The same maps, at a mini-batch's boundary without their sums, which are 0 there whatever was given.
template <typename T>
FastMaps<const T> without_sums(FastMaps<const T> maps, bool at_boundary) {
  if (!at_boundary) return maps;
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
