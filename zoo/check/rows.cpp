#include <algorithm>
#include <numeric>

#include "zoo/check/answer.h"
#include "zoo/check/checks.h"

namespace zoo::check {

namespace {

constexpr std::int64_t batch = 3;
constexpr std::int64_t first_chunk = 18;
constexpr std::int64_t last_chunk = usual_length - first_chunk;

// Some rows of the last chunk; none of sequence 1, since a recall example may have no label.
std::vector<std::int32_t> some_rows(RandomKey key) {
  RandomStream random(key);
  std::vector<std::int32_t> rows;
  for (std::int32_t row = 0; row < batch * last_chunk; ++row) {
    if (row / last_chunk != 1 && random.uniform() < 0.3) rows.push_back(row);
  }
  return rows;
}

}  // namespace

void check_rows(const Trial& trial, Verdict& verdict) {
  std::vector<std::int32_t> all(batch * last_chunk);
  std::iota(all.begin(), all.end(), 0);
  const std::vector<std::int32_t> some = some_rows(trial.key("rows"));
  const std::vector<std::int32_t> none;
  for (const DType dtype : {DType::f64, DType::f32}) {
    const Tensor x = trial.input("rows", batch, usual_length, dtype);
    const Tensor weights = trial.input("weights", batch, usual_length, dtype);
    const Subject subject(trial, {.dtype = dtype});
    const std::pair<const std::vector<std::int32_t>*, const char*> selections[] = {
        {&all, "all rows"}, {&some, "some rows"}, {&none, "no rows"}};
    for (const auto& [rows, name] : selections) {
      Pass pass{.chunks = {first_chunk, last_chunk}, .rows = rows, .pick_rows = true};
      const Rounding rounding(trial, {}, x, weights, pass);
      const Answer picked = answer(subject, x, weights, pass);
      pass.pick_rows = false;
      compare(verdict, picked, answer(subject, x, weights, pass), rounding, dtype,
              fmt::format("{}, {}", dtype_name(dtype), name));
    }
  }
}

void check_positionwise(const Trial& trial, Verdict& verdict) {
  const Subject subject(trial, {.dtype = DType::f64});
  if (!subject.layer().positionwise()) {
    verdict.skip("the layer does not claim it");
    return;
  }
  const Tensor x = trial.input("positionwise", 1, usual_length, DType::f64);
  const Rounding rounding(trial, {}, x, x, {.gradients = false});
  // One sequence in reverse.
  std::vector<std::int32_t> reverse(usual_length);
  std::iota(reverse.rbegin(), reverse.rend(), 0);
  const Shape rows{usual_length, trial.d_model()};
  const Tensor reversed = take(x.view(rows), reverse).view(x.shape());
  const Tensor y = answer(subject, reversed, reversed, {.gradients = false}).output();
  const Tensor expected = take(rounding.reference().output().view(rows), reverse).view(x.shape());
  const double size = unit_of(rms(expected));
  verdict.compare(rms_difference(y, expected) / size, rounding.bound(0, DType::f64) / size,
                  "outputs of the reversed sequence against reversed outputs: relative difference");
}

}  // namespace zoo::check
