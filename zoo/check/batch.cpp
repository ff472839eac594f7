#include "zoo/check/answer.h"
#include "zoo/check/checks.h"

namespace zoo::check {

namespace {

constexpr std::int32_t batch = 4;

// Whether a part has a row for each sequence; else it sums over them.
bool by_sequence(const Part& part) {
  if (part.kind == Part::Kind::gradient) return part.name == input_gradient;
  return part.values.rank() > 0 && part.values.dim(0) > 0 && part.values.size() > 0;
}

}  // namespace

void check_batch(const Trial& trial, Verdict& verdict) {
  for (const DType dtype : {DType::f64, DType::f32}) {
    const Tensor x = trial.input("batch", batch, usual_length, dtype);
    const Tensor weights = trial.input("weights", batch, usual_length, dtype);
    const Subject subject(trial, {.dtype = dtype});
    const Rounding rounding(trial, {}, x, weights);
    const Answer together = answer(subject, x, weights);

    const std::vector<std::int32_t> order = {2, 0, 3, 1};
    Answer expected = together;
    for (Part& part : expected.parts) {
      if (by_sequence(part)) part.values = take(part.values, order);
    }
    compare(verdict, expected, answer(subject, take(x, order), take(weights, order)), rounding, dtype,
            fmt::format("{}, sequences in another order", dtype_name(dtype)));

    for (std::int32_t b = 0; b < batch; ++b) {
      const std::vector<std::int32_t> one = {b};
      const Answer alone = answer(subject, take(x, one), take(weights, one));
      for (std::size_t i = 0; i < alone.parts.size(); ++i) {
        const Part& part = together.parts.at(i);
        if (!by_sequence(part)) continue;
        const double unit = unit_of(rms(part.values));
        verdict.compare(rms_difference(alone.parts[i].values, take(part.values, one)) / unit,
                        rounding.bound(i, dtype) / unit,
                        fmt::format("{}, sequence {} alone, {}: relative difference", dtype_name(dtype), b, part.name));
      }
    }
  }
}

}  // namespace zoo::check
