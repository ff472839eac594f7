#include <cstring>

#include "zoo/check/answer.h"
#include "zoo/check/checks.h"

namespace zoo::check {

namespace {

// x up to position t, then other.
Tensor spliced(const Tensor& x, const Tensor& other, std::int64_t t) {
  const Tensor parts[] = {positions(x, 0, t), positions(other, t, x.dim(1))};
  return join_positions(parts);
}

}  // namespace

// The kernels may compute a block of positions together, so what comes later may change the rounding (the largest score
// that a softmax subtracts, say), but nothing else.
void check_causality(const Trial& trial, Verdict& verdict) {
  for (const auto& [dtype, length] : {std::pair{DType::f64, usual_length}, {DType::f32, blocked_length}}) {
    const Tensor x = trial.input("causality", 2, length, dtype);
    const Tensor future = trial.input("another future", 2, length, dtype);
    const Tensor weights = trial.input("weights", 2, length, dtype);
    const Tensor zeros = Tensor::zeros(x.shape(), dtype);
    const Subject subject(trial, {.dtype = dtype});
    const Rounding rounding(trial, {}, x, weights);
    const Answer original = answer(subject, x, weights);
    std::size_t gradient = 0;
    while (original.parts[gradient].name != input_gradient) ++gradient;

    for (const std::int64_t t : {std::int64_t{1}, length / 3, length / 2, length - 1}) {
      const std::string where = fmt::format("{} at position {} of {}", dtype_name(dtype), t, length);
      const Tensor before = positions(original.output(), 0, t);
      const Tensor after =
          positions(answer(subject, spliced(x, future, t), weights, {.gradients = false}).output(), 0, t);
      const double size = unit_of(rms(original.output()));
      verdict.compare(rms_difference(before, after) / size, rounding.bound(0, dtype) / size,
                      where + ", change of earlier outputs with the inputs from there on, relative");

      const Answer early = answer(subject, x, spliced(weights, zeros, t));
      const Tensor& by_input = early.parts[gradient].values;
      const double gradient_size = unit_of(rms(by_input));
      verdict.compare(rms(positions(by_input, t, length)) / gradient_size,
                      rounding.bound(gradient, dtype) / gradient_size,
                      where + ", gradient of earlier outputs by the inputs from there on, relative");
    }
  }
}

}  // namespace zoo::check
