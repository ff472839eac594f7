#include <algorithm>

#include "zoo/check/answer.h"
#include "zoo/check/checks.h"
#include "zoo/core/pool.h"

namespace zoo::check {

namespace {

// Values of equal bits; two NaN count as different, for they are an error anyhow.
std::int64_t count_differences(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return std::max<std::int64_t>({a.size(), b.size(), 1});
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) count += a.data<double>()[i] != b.data<double>()[i] ? 1 : 0;
  return count;
}

void require_equal(Verdict& verdict, const Answer& one, const Answer& other, const std::string& what) {
  verdict.require(one.parts.size() == other.parts.size(), what + ": the state has other tensors");
  for (std::size_t i = 0; i < std::min(one.parts.size(), other.parts.size()); ++i) {
    verdict.compare(static_cast<double>(count_differences(one.parts[i].values, other.parts[i].values)), 0,
                    fmt::format("{}, {}: values with other bits", what, one.parts[i].name));
  }
}

// What a layer computes in training, of all sequences or of part of them.
Tensor output_in_training(const Subject& subject, const Tensor& x, RandomKey random, std::int64_t first_sequence = 0,
                          bool training = true) {
  return answer(subject, x, x,
                {.gradients = false,
                 .context = {.training = training, .random = random, .first_sequence = first_sequence}})
      .output();
}

}  // namespace

void check_repeatable(const Trial& trial, Verdict& verdict) {
  for (const std::int64_t length : {usual_length, blocked_length}) {
    const Tensor x = trial.input("repeatable", 3, length, DType::f32);
    const Tensor weights = trial.input("weights", 3, length, DType::f32);
    const Pass pass{.chunks = {length - 5, 5}, .context = {.training = true, .random = trial.key("dropout")}};
    const Subject subject(trial);
    const Answer once = answer(subject, x, weights, pass);
    require_equal(verdict, once, answer(subject, x, weights, pass), "computed twice");
    require_equal(verdict, once, answer(Subject(trial), x, weights, pass), "computed by a second layer");
  }
}

void check_memory(const Trial& trial, Verdict& verdict) {
  const Tensor x = trial.input("memory", 3, usual_length, DType::f32);
  const Tensor weights = trial.input("weights", 3, usual_length, DType::f32);
  const Pass pass{.chunks = {usual_length - 5, 5}};
  const Answer plain = answer(Subject(trial), x, weights, pass);
  const std::uint64_t before = pool_guard_violations();
  Answer guarded;
  {
    const PoolGuard guard;
    guarded = answer(Subject(trial), x, weights, pass);
  }
  verdict.compare(static_cast<double>(pool_guard_violations() - before), 0, "blocks written beyond their ends");
  require_equal(verdict, plain, guarded, "in memory that begins as NaN");
}

void check_dropout(const Trial& trial, Verdict& verdict) {
  const Subject subject(trial);
  const Tensor x = trial.input("dropout", 4, usual_length, DType::f32);
  const RandomKey key = trial.key("one"), other_key = trial.key("other");

  const Tensor trained = output_in_training(subject, x, key);
  const auto differing = [&](const Tensor& y, const Tensor& z) { return static_cast<double>(count_differences(y, z)); };
  verdict.compare(differing(trained, output_in_training(subject, x, key)), 0, "training twice with one key: values");
  const Tensor evaluated = output_in_training(subject, x, key, 0, false);
  verdict.compare(differing(evaluated, output_in_training(subject, x, other_key, 0, false)), 0,
                  "outside training with two keys: values");
  if (count_differences(trained, output_in_training(subject, x, other_key)) == 0) {
    verdict.skip("nothing random in this case");
    return;
  }

  // The second half of a batch by itself, as a trainer cuts it, sees the same masks.
  const Rounding rounding(trial, {}, x, x, {.gradients = false, .context = {.training = true, .random = key}});
  const double size = unit_of(rms(trained));
  const Tensor half = output_in_training(subject, x.rows(2, 2), key, 2);
  verdict.compare(rms_difference(half, trained.rows(2, 2)) / size, rounding.bound(0, DType::f32) / size,
                  "half of the batch by itself, with first_sequence: relative difference");
}

}  // namespace zoo::check
