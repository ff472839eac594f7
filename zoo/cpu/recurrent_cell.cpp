#include "zoo/cpu/recurrent_cell.h"

#include <algorithm>

#include "zoo/core/pool.h"
#include "zoo/cpu/partition.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/recurrent_cell.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/small_matmul-inl.h"
#include "zoo/cpu/vector_loop-inl.h"
#include "zoo/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// g [rows, G*D] = h weight^T + bias. `transposed` [D, G*D] may be nullptr.
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void gates_of(D d, std::int64_t rows, std::int64_t width, std::int64_t outputs,
                           const CellInputs<T>& inputs, const T* transposed, const T* h, std::int64_t h_stride, T* g) {
  if (transposed == nullptr) {
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t j = 0; j < outputs; ++j) {
        g[row * outputs + j] = inputs.bias[j] + dot(d, width, h + row * h_stride, inputs.weight + j * width);
      }
    }
    return;
  }
  for (std::int64_t row = 0; row < rows; ++row) std::copy_n(inputs.bias, outputs, g + row * outputs);
  small_matmul<true>(d, rows, outputs, width, Strided<T>{h, h_stride, 1}, Rowwise<const T>{transposed, outputs},
                     Rowwise<T>{g, outputs});
}

// One sequence's step: rows of its projected inputs x, of the gates g, of the states and of what is kept (or nullptr).
template <typename T>
struct StepRows {
  const T* x;
  const T* g;
  const T* past;  ///< h_{t-1}
  T* h;
  T* carried;
  T* kept;
};

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void step(D d, Cell cell, std::int64_t W, const StepRows<T>& rows) {
  for_vectors(d, W, [&](std::int64_t c, auto part) HWY_ATTR {
    const auto gate = [&](std::int64_t index) HWY_ATTR {
      return hn::Add(part.load(d, rows.x + index * W + c), part.load(d, rows.g + index * W + c));
    };
    const auto keep = [&](std::int64_t index, auto value) HWY_ATTR {
      if (rows.kept != nullptr) part.store(value, d, rows.kept + index * W + c);
    };
    if (cell == Cell::tanh) {
      part.store(math::Tanh(d, gate(0)), d, rows.h + c);
    } else if (cell == Cell::lstm) {
      const auto i = math::Sigmoid(d, gate(0)), f = math::Sigmoid(d, gate(1));
      const auto candidate = math::Tanh(d, gate(2)), o = math::Sigmoid(d, gate(3));
      const auto carried = hn::MulAdd(f, part.load(d, rows.carried + c), hn::Mul(i, candidate));
      part.store(carried, d, rows.carried + c);
      part.store(hn::Mul(o, math::Tanh(d, carried)), d, rows.h + c);
      keep(0, i);
      keep(1, f);
      keep(2, candidate);
      keep(3, o);
      keep(4, carried);
    } else {
      const auto r = math::Sigmoid(d, gate(0)), z = math::Sigmoid(d, gate(1));
      const auto g_n = part.load(d, rows.g + 2 * W + c);
      const auto n = math::Tanh(d, hn::MulAdd(r, g_n, part.load(d, rows.x + 2 * W + c)));
      // (1 - z) n + z h
      part.store(hn::MulAdd(z, hn::Sub(part.load(d, rows.past + c), n), n), d, rows.h + c);
      keep(0, r);
      keep(1, z);
      keep(2, n);
      keep(3, g_n);
    }
  });
}

// Sequences [begin, end), all of them a step at a time.
template <typename T>
void run(const CellSizes& sizes, const CellInputs<T>& inputs, const CellOutputs<T>& outputs, const T* transposed,
         std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::int64_t W = sizes.width, GW = sizes.gates() * W, KW = sizes.kept() * W, L = sizes.length;
  PoolVector<T> g(static_cast<std::size_t>((end - begin) * GW));
  if (sizes.cell == Cell::lstm) {
    std::copy_n(inputs.carried + begin * W, (end - begin) * W, outputs.carried + begin * W);
  }
  for (std::int64_t t = 0; t < L; ++t) {
    const T* past = t == 0 ? inputs.hidden + begin * W : outputs.h + (begin * L + t - 1) * W;
    const std::int64_t past_stride = t == 0 ? W : L * W;
    gates_of(d, end - begin, W, GW, inputs, transposed, past, past_stride, g.data());
    for (std::int64_t b = begin; b < end; ++b) {
      const std::int64_t row = b * L + t;
      step(d, sizes.cell, W,
           StepRows<T>{inputs.x + row * GW, g.data() + (b - begin) * GW, past + (b - begin) * past_stride,
                       outputs.h + row * W, sizes.cell == Cell::lstm ? outputs.carried + b * W : nullptr,
                       outputs.kept == nullptr ? nullptr : outputs.kept + row * KW});
    }
  }
}

// For the dispatch, which takes no templates.
void run_float(const CellSizes& sizes, const CellInputs<float>& inputs, const CellOutputs<float>& outputs,
               const float* transposed, std::int64_t begin, std::int64_t end) {
  run(sizes, inputs, outputs, transposed, begin, end);
}
void run_double(const CellSizes& sizes, const CellInputs<double>& inputs, const CellOutputs<double>& outputs,
                const double* transposed, std::int64_t begin, std::int64_t end) {
  run(sizes, inputs, outputs, transposed, begin, end);
}
void transpose_float(std::int64_t rows, std::int64_t columns, const float* from, float* to) {
  transpose(hn::ScalableTag<float>(), rows, columns, Rowwise<const float>{from, columns}, Rowwise<float>{to, rows});
}
void transpose_double(std::int64_t rows, std::int64_t columns, const double* from, double* to) {
  transpose(hn::ScalableTag<double>(), rows, columns, Rowwise<const double>{from, columns}, Rowwise<double>{to, rows});
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(run_float);
HWY_EXPORT(run_double);
HWY_EXPORT(transpose_float);
HWY_EXPORT(transpose_double);

namespace {

// Fewer steps do not repay transposing the matrix.
constexpr std::int64_t few_steps = 4;

template <typename T, typename Run, typename Transpose>
void forward(const CellSizes& sizes, const CellInputs<T>& inputs, const CellOutputs<T>& outputs, const Run& run,
             const Transpose& transpose) {
  const std::int64_t outputs_of_a_step = sizes.gates() * sizes.width;
  PoolVector<T> transposed(static_cast<std::size_t>(sizes.length < few_steps ? 0 : outputs_of_a_step * sizes.width));
  if (!transposed.empty()) transpose(outputs_of_a_step, sizes.width, inputs.weight, transposed.data());
  for_rows(sizes.batch, sizes.length * outputs_of_a_step * sizes.width, [&](std::int64_t begin, std::int64_t end) {
    run(sizes, inputs, outputs, transposed.empty() ? nullptr : transposed.data(), begin, end);
  });
}

}  // namespace

void recurrent_cell_forward(const CellSizes& sizes, const CellInputs<float>& inputs,
                            const CellOutputs<float>& outputs) {
  forward(sizes, inputs, outputs, HWY_DYNAMIC_DISPATCH(run_float), HWY_DYNAMIC_DISPATCH(transpose_float));
}

void recurrent_cell_forward(const CellSizes& sizes, const CellInputs<double>& inputs,
                            const CellOutputs<double>& outputs) {
  forward(sizes, inputs, outputs, HWY_DYNAMIC_DISPATCH(run_double), HWY_DYNAMIC_DISPATCH(transpose_double));
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
