#include "zoo/check/answer.h"
#include "zoo/check/checks.h"

namespace zoo::check {

namespace {

// Lengths of the chunks when a sequence is cut after each position with this probability.
std::vector<std::int64_t> random_split(RandomKey key, std::int64_t length, double probability) {
  RandomStream random(key);
  std::vector<std::int64_t> chunks = {1};
  for (std::int64_t t = 1; t < length; ++t) {
    if (random.uniform() < probability) {
      chunks.push_back(1);
    } else {
      ++chunks.back();
    }
  }
  return chunks;
}

std::string describe(const std::vector<std::int64_t>& chunks) {
  if (chunks.size() == static_cast<std::size_t>(usual_length)) return "one position at a time";
  return fmt::format("in chunks of {}", fmt::join(chunks, "+"));
}

void compare_splits(const Trial& trial, Verdict& verdict, DType dtype, std::int64_t length,
                    const std::vector<std::vector<std::int64_t>>& splits) {
  const Tensor x = trial.input("chunks", 2, length, dtype);
  const Tensor weights = trial.input("weights", 2, length, dtype);
  const Subject subject(trial, {.dtype = dtype});
  const Rounding rounding(trial, {}, x, weights);
  const Answer whole = dtype == DType::f64 ? rounding.reference() : answer(subject, x, weights);
  for (const std::vector<std::int64_t>& chunks : splits) {
    compare(verdict, whole, answer(subject, x, weights, {.chunks = chunks}), rounding, dtype,
            fmt::format("{} {}", dtype_name(dtype), describe(chunks)));
  }
}

}  // namespace

void check_chunks(const Trial& trial, Verdict& verdict) {
  const std::vector<std::int64_t> ones(usual_length, 1);
  const RandomKey key = trial.key("split");
  const auto split = [&](std::uint64_t draw, std::int64_t length, double probability) {
    return random_split(key.fold(draw), length, probability);
  };
  compare_splits(
      trial, verdict, DType::f64, usual_length,
      {ones, {1, usual_length - 1}, {usual_length - 1, 1}, split(0, usual_length, 0.1), split(1, usual_length, 0.3)});
  compare_splits(trial, verdict, DType::f32, usual_length, {ones, split(2, usual_length, 0.2)});
  compare_splits(trial, verdict, DType::f32, blocked_length,
                 {split(3, blocked_length, 0.02), split(4, blocked_length, 0.05)});
}

}  // namespace zoo::check
