#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "zoo/core/random.h"
#include "zoo/ops/op_cases.h"

/// What the tests over all registered ops stand on: drawing a case's inputs, running it with its gradients, and saying
/// how far apart two runs may be.
namespace zoo::harness {

/// Tensors of f64 (or i32 indices), in memory of their own.
using Values = std::vector<Tensor>;

/// The seed of everything drawn: 1, or the environment variable ZOO_TEST_SEED.
std::uint64_t seed();

/// "op add, case 'row'; repeat with ZOO_TEST_SEED=1 ... --gtest_filter=*add"
std::string where_am_i(const OpEntry& op, const OpCase& c);

/// The key of what is drawn for a case.
RandomKey key_of(const OpEntry& op, const OpCase& c);

/// The inputs as the case describes them: f64 values that f32 can hold, and i32 indices.
Values draw_inputs(const OpCase& c, RandomKey key);
/// N(0, 1), values that f32 can hold.
Tensor draw_normal(const Shape& shape, RandomKey key);

/// The real ones in `dtype`, indices as they are.
Values in_dtype(const Values& values, DType dtype);

/// A case's outputs, and the gradients of sum_i <output_i, cotangent_i> for its real inputs; all as f64.
struct Result {
  Values outputs;
  Values grads;  ///< zeros where an output does not depend on an input
};

/// One number for each output, N(0, 1): the gradients that arrive from above.
Values draw_cotangents(const OpCase& c, const Values& inputs, RandomKey key);

/// Runs in the inputs' dtype; with create_graph the gradients are those written in ops.
Result run(const OpCase& c, const Values& inputs, const Values& cotangents, bool create_graph = false);

/// sum_i <output_i, cotangent_i>, and the sum of the terms' absolute values.
struct Loss {
  double value = 0;
  double magnitude = 0;
};
Loss loss(const OpCase& c, const Values& inputs, const Values& cotangents);

/// How much f64 results move when inputs and cotangents are off by a rounding to f32: what any f32 computation has to
/// be granted. A largest and a root mean square for each tensor of the outputs and of the gradients.
struct Sensitivity {
  struct Size {
    double largest = 0;
    double rms = 0;
  };
  std::vector<Size> outputs;
  std::vector<Size> grads;
};
Sensitivity sensitivity(const OpCase& c, const Values& inputs, const Values& cotangents, RandomKey key);

/// Fails the current test where two runs differ by more than `factor` times (the sensitivity plus one rounding of the
/// value), all in `dtype`'s precision.
void expect_close(const Result& actual, const Result& expected, const Sensitivity& allowed, DType dtype, double factor);
/// The same for a computation that rounds by a relative `epsilon` at most.
void expect_close(const Result& actual, const Result& expected, const Sensitivity& allowed, double epsilon,
                  double factor);
/// Whether two runs are the same in every bit (but equal NaNs).
bool identical(const Result& a, const Result& b);
/// Fails the current test where two runs differ in any bit (but equal NaNs).
void expect_identical(const Result& actual, const Result& expected);

/// Derivative at 0 of f, a smooth function that is computed with rounding errors of about f64's epsilon times
/// `magnitude`: fourth-order central differences, with a bound on their error.
struct Derivative {
  double value;
  double error;
};
template <typename F>
Derivative differentiate(const F& f, double magnitude) {
  const auto difference = [&](double h) { return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h); };
  constexpr double step = 0x1p-9;
  const double fine = difference(step);
  // Truncation falls by 16 when the step halves, so the difference of two steps bounds the finer one's. Each of the
  // four values enters with a weight of at most 8/12 and a handful of roundings.
  const double truncation = std::abs(fine - difference(2 * step)) / 8;
  const double rounding = 32 * 0x1p-52 * magnitude / step;
  return {fine, truncation + rounding};
}

}  // namespace zoo::harness
