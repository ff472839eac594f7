#include "zoo/cpu/broadcast.h"

#include <type_traits>

#include "zoo/cpu/partition.h"
#include "zoo/cpu/strided.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/broadcast.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

struct Add {
  template <class D, class V>
  HWY_INLINE static V value(D, V a, V b) {
    return hn::Add(a, b);
  }
};

struct Sub {
  template <class D, class V>
  HWY_INLINE static V value(D, V a, V b) {
    return hn::Sub(a, b);
  }
};

struct Mul {
  template <class D, class V>
  HWY_INLINE static V value(D, V a, V b) {
    return hn::Mul(a, b);
  }
};

struct Div {
  template <class D, class V>
  HWY_INLINE static V value(D, V a, V b) {
    return hn::Div(a, b);
  }
};

// NaN in either operand gives NaN: b where the comparison fails, which it does for a NaN in b, and a for a NaN in a.
// (Highway's Ne is false for NaN on some instruction sets.)
struct Maximum {
  template <class D, class V>
  HWY_INLINE static V value(D, V a, V b) {
    return hn::IfThenElse(hn::Or(hn::Gt(a, b), hn::Not(hn::Eq(a, a))), a, b);
  }
};

struct Minimum {
  template <class D, class V>
  HWY_INLINE static V value(D, V a, V b) {
    return hn::IfThenElse(hn::Or(hn::Lt(a, b), hn::Not(hn::Eq(a, a))), a, b);
  }
};

struct Greater {
  template <class D, class V>
  HWY_INLINE static V value(D d, V a, V b) {
    return hn::IfThenElseZero(hn::Gt(a, b), hn::Set(d, hn::TFromD<D>{1}));
  }
};

// Both operands run along the innermost axis (stride 1), or one of them stands still (stride 0).
template <class Rule, typename T>
HWY_INLINE void row(const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride, T* y, std::int64_t count) {
  const hn::ScalableTag<T> d;
  if (b_stride == 0) {
    const auto fixed = hn::Set(d, *b);
    if (a_stride == 0) {
      const auto value = Rule::value(d, hn::Set(d, *a), fixed);
      for_vectors(d, count, [=](std::int64_t i, auto part) HWY_ATTR { part.store(value, d, y + i); });
      return;
    }
    for_vectors(d, count, [=](std::int64_t i, auto part) HWY_ATTR {
      part.store(Rule::value(d, part.load(d, a + i), fixed), d, y + i);
    });
  } else if (a_stride == 0) {
    const auto fixed = hn::Set(d, *a);
    for_vectors(d, count, [=](std::int64_t i, auto part) HWY_ATTR {
      part.store(Rule::value(d, fixed, part.load(d, b + i)), d, y + i);
    });
  } else {
    for_vectors(d, count, [=](std::int64_t i, auto part) HWY_ATTR {
      part.store(Rule::value(d, part.load(d, a + i), part.load(d, b + i)), d, y + i);
    });
  }
}

// Rows [rows_begin, rows_end) of the loops, and of each the elements [begin, end).
struct Range {
  std::int64_t rows_begin;
  std::int64_t rows_end;
  std::int64_t begin;
  std::int64_t end;
};

template <class Rule, typename T>
HWY_NOINLINE void rows(const StridedLoops<2>& loops, const Range& range, const T* a, const T* b, T* y) {
  const std::int64_t a_stride = loops.strides[0][loops.last()];
  const std::int64_t b_stride = loops.strides[1][loops.last()];
  const std::int64_t inner = loops.inner();
  loops.for_each_row(range.rows_begin, range.rows_end, [&](std::int64_t index, const auto& offsets) HWY_ATTR {
    row<Rule>(a + offsets[0] + a_stride * range.begin, a_stride, b + offsets[1] + b_stride * range.begin, b_stride,
              y + index * inner + range.begin, range.end - range.begin);
  });
}

template <typename T>
void binary_rows(Binary kind, const StridedLoops<2>& loops, const Range& range, const T* a, const T* b, T* y) {
  switch (kind) {
    case Binary::add:
      return rows<Add>(loops, range, a, b, y);
    case Binary::sub:
      return rows<Sub>(loops, range, a, b, y);
    case Binary::mul:
      return rows<Mul>(loops, range, a, b, y);
    case Binary::div:
      return rows<Div>(loops, range, a, b, y);
    case Binary::maximum:
      return rows<Maximum>(loops, range, a, b, y);
    case Binary::minimum:
      return rows<Minimum>(loops, range, a, b, y);
    case Binary::greater:
      return rows<Greater>(loops, range, a, b, y);
  }
}

// Range is a different type for each instruction set, hence the four numbers.
void binary_f32(Binary kind, const StridedLoops<2>& loops, std::int64_t rows_begin, std::int64_t rows_end,
                std::int64_t begin, std::int64_t end, const float* a, const float* b, float* y) {
  binary_rows(kind, loops, {rows_begin, rows_end, begin, end}, a, b, y);
}

void binary_f64(Binary kind, const StridedLoops<2>& loops, std::int64_t rows_begin, std::int64_t rows_end,
                std::int64_t begin, std::int64_t end, const double* a, const double* b, double* y) {
  binary_rows(kind, loops, {rows_begin, rows_end, begin, end}, a, b, y);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(binary_f32);
HWY_EXPORT(binary_f64);

namespace {

// Calls body(rows_begin, rows_end, begin, end) on parts of the loops: some rows each, or a part of each row where rows
// are long and few.
template <int operands, typename Body>
void for_parts(const StridedLoops<operands>& loops, const Body& body) {
  const std::int64_t rows = loops.rows();
  const std::int64_t inner = loops.inner();
  if (rows < 8) {
    for_elements(inner, [&](std::int64_t begin, std::int64_t end) { body(std::int64_t{0}, rows, begin, end); });
  } else {
    for_rows(rows, inner, [&](std::int64_t begin, std::int64_t end) { body(begin, end, std::int64_t{0}, inner); });
  }
}

// Calls body with 1 or 0 as a constant.
template <typename Body>
void with_step(bool moves, const Body& body) {
  if (moves) {
    body(std::integral_constant<std::int64_t, 1>{});
  } else {
    body(std::integral_constant<std::int64_t, 0>{});
  }
}

}  // namespace

template <typename T>
void binary(Binary kind, const Shape& shape, const T* a, const Shape& a_shape, const T* b, const Shape& b_shape, T* y) {
  const StridedLoops<2> loops(shape, {broadcast_strides(a_shape, shape), broadcast_strides(b_shape, shape)});
  for_parts(loops, [&](std::int64_t rows_begin, std::int64_t rows_end, std::int64_t begin, std::int64_t end) {
    if constexpr (std::is_same_v<T, float>) {
      HWY_DYNAMIC_DISPATCH(binary_f32)(kind, loops, rows_begin, rows_end, begin, end, a, b, y);
    } else {
      HWY_DYNAMIC_DISPATCH(binary_f64)(kind, loops, rows_begin, rows_end, begin, end, a, b, y);
    }
  });
}

template <typename T>
void where(const Shape& shape, const T* condition, const Shape& condition_shape, const T* a, const Shape& a_shape,
           const T* b, const Shape& b_shape, T* y) {
  const StridedLoops<3> loops(shape, {broadcast_strides(condition_shape, shape), broadcast_strides(a_shape, shape),
                                      broadcast_strides(b_shape, shape)});
  const auto moves = [&](std::size_t operand) { return loops.strides[operand][loops.last()] != 0; };
  for_parts(loops, [&](std::int64_t rows_begin, std::int64_t rows_end, std::int64_t begin, std::int64_t end) {
    loops.for_each_row(rows_begin, rows_end, [&](std::int64_t row, const auto& offsets) {
      // One loop for each combination of operands that move and that stand still, known when it is compiled.
      with_step(moves(0), [&](auto step) {
        with_step(moves(1), [&](auto step_a) {
          with_step(moves(2), [&](auto step_b) {
            const T* choice = condition + offsets[0];
            const T* yes = a + offsets[1];
            const T* no = b + offsets[2];
            T* result = y + row * loops.inner();
            for (std::int64_t i = begin; i < end; ++i) {
              result[i] = choice[i * step] != T{0} ? yes[i * step_a] : no[i * step_b];
            }
          });
        });
      });
    });
  });
}

template void binary(Binary, const Shape&, const float*, const Shape&, const float*, const Shape&, float*);
template void binary(Binary, const Shape&, const double*, const Shape&, const double*, const Shape&, double*);
template void where(const Shape&, const float*, const Shape&, const float*, const Shape&, const float*, const Shape&,
                    float*);
template void where(const Shape&, const double*, const Shape&, const double*, const Shape&, const double*, const Shape&,
                    double*);

}  // namespace zoo::cpu

#endif  // HWY_ONCE
