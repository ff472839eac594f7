#include <algorithm>

#include "zoo/core/pool.h"
#include "zoo/cpu/partition.h"
#include "zoo/cpu/recurrent_cell.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/recurrent_cell_backward.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/small_matmul-inl.h"
#include "zoo/cpu/vector_loop-inl.h"
#include "zoo/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// One sequence's step, backwards: rows of its states and of what was kept, and of gradients.
template <typename T>
struct BackwardRows {
  const T* h;
  const T* past;          ///< h_{t-1}
  const T* past_carried;  ///< c_{t-1}
  const T* kept;
  const T* dh;  ///< by way of the output
  T* dhidden;   ///< by way of later steps; leaves as what reaches h_{t-1} without passing the matrix
  T* dcarried;
  T* dx;
  T* dgates;
};

// s (1 - s) and 1 - t^2: the slopes of a sigmoid and of a tanh with these values.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V sigmoid_slope(D, V s) {
  return hn::NegMulAdd(s, s, s);
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V tanh_slope(D d, V t) {
  return hn::NegMulAdd(t, t, hn::Set(d, hn::TFromD<D>{1}));
}

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void step_back(D d, Cell cell, std::int64_t W, const BackwardRows<T>& rows) {
  const auto one = hn::Set(d, T{1});
  for_vectors(d, W, [&](std::int64_t c, auto part) HWY_ATTR {
    const auto kept = [&](std::int64_t index) HWY_ATTR { return part.load(d, rows.kept + index * W + c); };
    const auto dh = hn::Add(part.load(d, rows.dh + c), part.load(d, rows.dhidden + c));
    if (cell == Cell::tanh) {
      part.store(hn::Mul(dh, tanh_slope(d, part.load(d, rows.h + c))), d, rows.dx + c);
      part.store(hn::Zero(d), d, rows.dhidden + c);
    } else if (cell == Cell::lstm) {
      const auto i = kept(0), f = kept(1), candidate = kept(2), o = kept(3), squashed = math::Tanh(d, kept(4));
      const auto dc = hn::MulAdd(hn::Mul(dh, o), tanh_slope(d, squashed), part.load(d, rows.dcarried + c));
      part.store(hn::Mul(hn::Mul(dc, candidate), sigmoid_slope(d, i)), d, rows.dx + c);
      part.store(hn::Mul(hn::Mul(dc, part.load(d, rows.past_carried + c)), sigmoid_slope(d, f)), d, rows.dx + W + c);
      part.store(hn::Mul(hn::Mul(dc, i), tanh_slope(d, candidate)), d, rows.dx + 2 * W + c);
      part.store(hn::Mul(hn::Mul(dh, squashed), sigmoid_slope(d, o)), d, rows.dx + 3 * W + c);
      part.store(hn::Mul(dc, f), d, rows.dcarried + c);
      part.store(hn::Zero(d), d, rows.dhidden + c);
    } else {
      const auto r = kept(0), z = kept(1), n = kept(2), g_n = kept(3);
      const auto past = part.load(d, rows.past + c);
      const auto dn = hn::Mul(hn::Mul(dh, hn::Sub(one, z)), tanh_slope(d, n));
      const auto dr = hn::Mul(hn::Mul(dn, g_n), sigmoid_slope(d, r));
      const auto dz = hn::Mul(hn::Mul(dh, hn::Sub(past, n)), sigmoid_slope(d, z));
      part.store(dr, d, rows.dx + c);
      part.store(dz, d, rows.dx + W + c);
      part.store(dn, d, rows.dx + 2 * W + c);
      part.store(dr, d, rows.dgates + c);
      part.store(dz, d, rows.dgates + W + c);
      part.store(hn::Mul(dn, r), d, rows.dgates + 2 * W + c);
      part.store(hn::Mul(dh, z), d, rows.dhidden + c);
    }
  });
}

// Sequences [begin, end), all of them a step at a time.
template <typename T>
void run_back(const CellSizes& sizes, const CellInputs<T>& inputs, const CellResults<T>& results,
              const CellGradients<T>& into, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::int64_t W = sizes.width, GW = sizes.gates() * W, KW = sizes.kept() * W, L = sizes.length;
  const bool lstm = sizes.cell == Cell::lstm;
  std::fill_n(into.hidden + begin * W, (end - begin) * W, T{0});
  if (lstm && results.dcarried != nullptr) {
    std::copy_n(results.dcarried + begin * W, (end - begin) * W, into.carried + begin * W);
  } else if (lstm) {
    std::fill_n(into.carried + begin * W, (end - begin) * W, T{0});
  }
  for (std::int64_t t = L - 1; t >= 0; --t) {
    for (std::int64_t b = begin; b < end; ++b) {
      const std::int64_t row = b * L + t;
      const T* carried = nullptr;  // an LSTM's, before this token
      if (lstm) carried = t == 0 ? inputs.carried + b * W : results.kept + (row - 1) * KW + 4 * W;
      step_back(d, sizes.cell, W,
                BackwardRows<T>{results.h + row * W, t == 0 ? inputs.hidden + b * W : results.h + (row - 1) * W,
                                carried, results.kept + row * KW, results.dh + row * W, into.hidden + b * W,
                                lstm ? into.carried + b * W : nullptr, into.x + row * GW, into.gates + row * GW});
    }
    small_matmul<true>(d, end - begin, W, GW, Strided<T>{into.gates + (begin * L + t) * GW, L * GW, 1},
                       Rowwise<const T>{inputs.weight, W}, Rowwise<T>{into.hidden + begin * W, W});
  }
}

// For the dispatch, which takes no templates.
void run_back_float(const CellSizes& sizes, const CellInputs<float>& inputs, const CellResults<float>& results,
                    const CellGradients<float>& into, std::int64_t begin, std::int64_t end) {
  run_back(sizes, inputs, results, into, begin, end);
}
void run_back_double(const CellSizes& sizes, const CellInputs<double>& inputs, const CellResults<double>& results,
                     const CellGradients<double>& into, std::int64_t begin, std::int64_t end) {
  run_back(sizes, inputs, results, into, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(run_back_float);
HWY_EXPORT(run_back_double);

void recurrent_cell_backward(const CellSizes& sizes, const CellInputs<float>& inputs, const CellResults<float>& results,
                             const CellGradients<float>& into) {
  for_rows(sizes.batch, sizes.length * sizes.gates() * sizes.width * sizes.width,
           [&](std::int64_t begin, std::int64_t end) {
             HWY_DYNAMIC_DISPATCH(run_back_float)(sizes, inputs, results, into, begin, end);
           });
}

void recurrent_cell_backward(const CellSizes& sizes, const CellInputs<double>& inputs,
                             const CellResults<double>& results, const CellGradients<double>& into) {
  for_rows(sizes.batch, sizes.length * sizes.gates() * sizes.width * sizes.width,
           [&](std::int64_t begin, std::int64_t end) {
             HWY_DYNAMIC_DISPATCH(run_back_double)(sizes, inputs, results, into, begin, end);
           });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
