// Products of tiles that lie in the caches, for kernels that are made of them: registers hold a block of the result, of
// block_rows rows and a few vectors, while it is summed. Float and double. Included once for each instruction set
// (hence no #pragma once).
#if defined(ZOO_CPU_SMALL_MATMUL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_SMALL_MATMUL_INL_H_
#undef ZOO_CPU_SMALL_MATMUL_INL_H_
#else
#define ZOO_CPU_SMALL_MATMUL_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "hwy/highway.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Rows of the result that are summed together.
inline constexpr std::int64_t block_rows = 6;
/// Vectors of a row that are summed together: with six rows, 24 of AVX-512's 32 registers, or 12 of 16.
inline constexpr std::int64_t block_vectors = HWY_TARGET <= HWY_AVX3 ? 4 : 2;

/// A matrix read element by element: (i, j) at data[i * row + j * column]. Swap the steps to read it transposed.
template <typename T>
struct Strided {
  const T* data;
  std::int64_t row;
  std::int64_t column;
};

/// A matrix with contiguous rows, `stride` elements apart.
template <typename T>
struct Rowwise {
  T* data;
  std::int64_t stride;
};

/// The same, to be read only.
template <typename T>
Rowwise<const T> constant(const Rowwise<T>& rows) {
  return {rows.data, rows.stride};
}

/// The matrix of these rows as an operand of a product, and its transpose.
template <typename Element, typename T = std::remove_const_t<Element>>
Strided<T> by_rows(const Rowwise<Element>& rows) {
  return {rows.data, rows.stride, 1};
}
template <typename Element, typename T = std::remove_const_t<Element>>
Strided<T> by_columns(const Rowwise<Element>& rows) {
  return {rows.data, 1, rows.stride};
}

/// Whether a state is still 0, so that products with it need not be made.
template <typename T>
bool all_zero(const T* values, std::int64_t count) {
  return std::all_of(values, values + count, [](T value) { return value == 0; });
}

/// Which part of a product a block of rows needs: columns of the result, and terms of the sum.
struct BlockRange {
  std::int64_t column_begin;
  std::int64_t column_end;
  std::int64_t term_begin;
  std::int64_t term_end;
};

/// C = A B, or C += A B, for `rows` x (vectors - 1 whole ones and `last`); all loops but the one over terms unroll.
template <int rows, int vectors, bool add, class D, class Last, typename T = hn::TFromD<D>>
HWY_INLINE void register_block(D d, std::int64_t terms, const Strided<T>& a, const Rowwise<const T>& b,
                               const Rowwise<T>& c, const Last& last) {
  using V = hn::Vec<D>;
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  V sums[rows][vectors];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) sums[i][j] = hn::Zero(d);
  }
  const T* a_rows[rows];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) a_rows[i] = a.data + i * a.row;
  const T* b_row = b.data;
  std::int64_t a_offset = 0;
  for (std::int64_t term = 0; term < terms; ++term) {
    V b_vectors[vectors];
#pragma GCC unroll 8
    for (int j = 0; j + 1 < vectors; ++j) b_vectors[j] = hn::LoadU(d, b_row + j * lanes);
    b_vectors[vectors - 1] = last.load(d, b_row + (vectors - 1) * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const V factor = hn::Set(d, a_rows[i][a_offset]);
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) sums[i][j] = hn::MulAdd(factor, b_vectors[j], sums[i][j]);
    }
    a_offset += a.column;
    b_row += b.stride;
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
    T* c_row = c.data + i * c.stride;
#pragma GCC unroll 8
    for (int j = 0; j + 1 < vectors; ++j) {
      T* to = c_row + j * lanes;
      hn::StoreU(add ? hn::Add(hn::LoadU(d, to), sums[i][j]) : sums[i][j], d, to);
    }
    T* to = c_row + (vectors - 1) * lanes;
    last.store(add ? hn::Add(last.load(d, to), sums[i][vectors - 1]) : sums[i][vectors - 1], d, to);
  }
}

/// The same for up to block_vectors vectors.
template <int rows, bool add, class D, class Last, typename T = hn::TFromD<D>>
HWY_INLINE void register_columns(D d, std::int64_t vectors, std::int64_t terms, const Strided<T>& a,
                                 const Rowwise<const T>& b, const Rowwise<T>& c, const Last& last) {
  if constexpr (block_vectors == 4) {
    if (vectors == 4) return register_block<rows, 4, add>(d, terms, a, b, c, last);
    if (vectors == 3) return register_block<rows, 3, add>(d, terms, a, b, c, last);
  }
  if (vectors == 2) return register_block<rows, 2, add>(d, terms, a, b, c, last);
  register_block<rows, 1, add>(d, terms, a, b, c, last);
}

/// `rows` rows of the product, all columns and terms of `range`.
template <int rows, bool add, class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void row_block(D d, const BlockRange& range, const Strided<T>& a, const Rowwise<const T>& b,
                            const Rowwise<T>& c) {
  constexpr std::int64_t lanes = hn::MaxLanes(d);
  const std::int64_t terms = std::max<std::int64_t>(range.term_end - range.term_begin, 0);
  const Strided<T> a_block{a.data + range.term_begin * a.column, a.row, a.column};
  for (std::int64_t column = range.column_begin; column < range.column_end;) {
    const std::int64_t left = range.column_end - column;
    const Rowwise<const T> b_block{b.data + range.term_begin * b.stride + column, b.stride};
    const Rowwise<T> c_block{c.data + column, c.stride};
    if (left >= lanes) {
      const std::int64_t vectors = std::min(left / lanes, block_vectors);
      register_columns<rows, add>(d, vectors, terms, a_block, b_block, c_block, Whole{});
      column += vectors * lanes;
    } else {
      register_block<rows, 1, add>(d, terms, a_block, b_block, c_block, Part{static_cast<std::size_t>(left)});
      column += left;
    }
  }
}

/// C[m, .] = A B, or C += A B, where rows [i, i + n) of the result need range(i, n) and no more. What lies outside the
/// columns of the range is not written.
template <bool add, class D, class Range, typename T = hn::TFromD<D>>
HWY_INLINE void small_matmul_within(D d, std::int64_t m, const Strided<T>& a, const Rowwise<const T>& b,
                                    const Rowwise<T>& c, const Range& range) {
  for (std::int64_t i = 0; i < m; i += block_rows) {
    const std::int64_t rows = std::min(m - i, block_rows);
    const BlockRange block = range(i, rows);
    const Strided<T> a_rows{a.data + i * a.row, a.row, a.column};
    const Rowwise<T> c_rows{c.data + i * c.stride, c.stride};
    switch (rows) {
      case 6:
        row_block<6, add>(d, block, a_rows, b, c_rows);
        break;
      case 5:
        row_block<5, add>(d, block, a_rows, b, c_rows);
        break;
      case 4:
        row_block<4, add>(d, block, a_rows, b, c_rows);
        break;
      case 3:
        row_block<3, add>(d, block, a_rows, b, c_rows);
        break;
      case 2:
        row_block<2, add>(d, block, a_rows, b, c_rows);
        break;
      default:
        row_block<1, add>(d, block, a_rows, b, c_rows);
    }
  }
}

/// C[m,n] = A[m,k] B[k,n], or C += A B.
template <bool add, class D, typename T = hn::TFromD<D>>
HWY_INLINE void small_matmul(D d, std::int64_t m, std::int64_t n, std::int64_t k, const Strided<T>& a,
                             const Rowwise<const T>& b, const Rowwise<T>& c) {
  small_matmul_within<add>(d, m, a, b, c, [n, k](std::int64_t, std::int64_t) { return BlockRange{0, n, 0, k}; });
}

/// to[i, j] = from[i, j] * factors[i].
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void scale_rows(D d, std::int64_t rows, std::int64_t columns, const T* factors, const Rowwise<const T>& from,
                           const Rowwise<T>& to) {
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto factor = hn::Set(d, factors[i]);
    for_vectors(d, columns, [&](std::int64_t j, auto part) HWY_ATTR {
      part.store(hn::Mul(part.load(d, from.data + i * from.stride + j), factor), d, to.data + i * to.stride + j);
    });
  }
}

/// sum_i a[i] b[i].
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE T dot(D d, std::int64_t count, const T* a, const T* b) {
  auto sum = hn::Zero(d);
  for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
    sum = hn::MulAdd(part.load(d, a + i), part.load(d, b + i), sum);
  });
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

/// to[j, i] = from[i, j] for a square of as many rows and columns as there are elements in 16 bytes.
template <typename T>
HWY_INLINE void transpose_square(const T* from, std::int64_t from_stride, T* to, std::int64_t to_stride) {
  const hn::Full128<T> d128;
  const auto row0 = hn::LoadU(d128, from);
  const auto row1 = hn::LoadU(d128, from + from_stride);
  if constexpr (sizeof(T) == 8) {
    hn::StoreU(hn::InterleaveLower(d128, row0, row1), d128, to);
    hn::StoreU(hn::InterleaveUpper(d128, row0, row1), d128, to + to_stride);
  } else {
    const auto row2 = hn::LoadU(d128, from + 2 * from_stride);
    const auto row3 = hn::LoadU(d128, from + 3 * from_stride);
    const auto low02 = hn::InterleaveLower(d128, row0, row2);
    const auto low13 = hn::InterleaveLower(d128, row1, row3);
    const auto high02 = hn::InterleaveUpper(d128, row0, row2);
    const auto high13 = hn::InterleaveUpper(d128, row1, row3);
    hn::StoreU(hn::InterleaveLower(d128, low02, low13), d128, to);
    hn::StoreU(hn::InterleaveUpper(d128, low02, low13), d128, to + to_stride);
    hn::StoreU(hn::InterleaveLower(d128, high02, high13), d128, to + 2 * to_stride);
    hn::StoreU(hn::InterleaveUpper(d128, high02, high13), d128, to + 3 * to_stride);
  }
}

/// to[j, i] = from[i, j] for i < rows, j < columns.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void transpose(D, std::int64_t rows, std::int64_t columns, const Rowwise<const T>& from,
                            const Rowwise<T>& to) {
  constexpr std::int64_t side = 16 / sizeof(T);
  // Whole cache lines of the result at a time: rows a power of two apart would evict each other before they are full.
  constexpr std::int64_t line = 64 / sizeof(T);
  const std::int64_t whole_columns = columns / side * side;
  for (std::int64_t first = 0; first < rows; first += line) {
    const std::int64_t end = std::min(first + line, rows), whole_end = first + (end - first) / side * side;
    for (std::int64_t j = 0; j < whole_columns; j += side) {
      for (std::int64_t i = first; i < whole_end; i += side) {
        transpose_square(from.data + i * from.stride + j, from.stride, to.data + j * to.stride + i, to.stride);
      }
    }
    for (std::int64_t i = first; i < end; ++i) {
      for (std::int64_t j = i < whole_end ? whole_columns : 0; j < columns; ++j) {
        to.data[j * to.stride + i] = from.data[i * from.stride + j];
      }
    }
  }
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard, by target
