#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "zoo/check/answer.h"
#include "zoo/check/checks.h"
#include "zoo/core/pool.h"
#include "zoo/core/tape.h"

namespace zoo::check {

namespace {

constexpr std::int64_t full_length = 16384;
constexpr std::int64_t long_chunk = 512;
// A layer that keeps its history and computes all of it at once is checked at the longest length that fits in this.
constexpr double memory_limit = 512.0 * 1024 * 1024;

template <typename T>
bool all_finite(const Tensor& values) {
  return std::ranges::all_of(values.values<T>(), [](T value) { return std::isfinite(value); });
}

// Bytes of the pool at the peak of one whole pass of this length.
double peak_bytes(const Trial& trial, std::int64_t length) {
  const Subject subject(trial, {.max_length = full_length, .lively = false});
  const Tensor x = trial.input("peak", 1, length, DType::f32);
  const NoTape off;
  State state = subject.layer().initial_state(1);
  const auto before = static_cast<double>(pool_statistics().bytes_in_use);
  reset_pool_peak();
  run(subject.layer(), x, state);
  return static_cast<double>(pool_statistics().peak_bytes_in_use) - before;
}

// The longest power of two up to full_length whose pass fits, if the peak grows on as between 256 and 512.
std::int64_t affordable_length(const Trial& trial) {
  std::int64_t length = 512;
  const double growth = std::clamp(peak_bytes(trial, length) / peak_bytes(trial, length / 2), 1.0, 4.0);
  double bytes = peak_bytes(trial, length);
  while (length < full_length && bytes * growth <= memory_limit) {
    length *= 2;
    bytes *= growth;
  }
  return length;
}

double largest(const Answer& answer) {
  double result = 0;
  for (const Part& part : answer.parts) {
    if (part.kind == Part::Kind::state) continue;
    for (const double value : part.values.values<double>()) {
      if (!std::isfinite(value)) return std::numeric_limits<double>::infinity();
      result = std::max(result, std::abs(value));
    }
  }
  return result;
}

Tensor scaled(Tensor x, double factor) {
  for (std::int64_t i = 0; i < x.size(); ++i) x.data<float>()[i] *= static_cast<float>(factor);
  return x;
}

}  // namespace

void check_long(const Trial& trial, Verdict& verdict) {
  const Subject subject(trial, {.max_length = full_length, .lively = false});
  // A HistoryLayer computes each chunk from the whole past: one chunk is cheapest.
  const bool history = dynamic_cast<const HistoryLayer*>(&subject.layer()) != nullptr;
  const std::int64_t length = history ? affordable_length(trial) : full_length;
  const std::int64_t chunk = history ? length : long_chunk;
  const Tensor x = trial.input("long", 1, length, DType::f32);
  const NoTape off;
  State state = subject.layer().initial_state(1);
  for (std::int64_t begin = 0; begin < length; begin += chunk) {
    const Tensor y = run(subject.layer(), positions(x, begin, begin + chunk), state);
    if (all_finite<float>(y)) continue;
    verdict.require(false, fmt::format("an output at positions {} to {} is not finite", begin, begin + chunk - 1));
    return;
  }
  if (length == full_length) {
    verdict.note(fmt::format("{} positions", length));
  } else {
    verdict.note(fmt::format("{} positions; the whole history of {} at once would take more than {} MiB", length,
                             full_length, memory_limit / (1024 * 1024)));
  }
}

void check_large(const Trial& trial, Verdict& verdict) {
  constexpr double size = 1e4;
  constexpr std::int64_t length = 64;
  const SubjectSettings settings{.lively = false};
  const Tensor x = scaled(trial.input("large", 2, length, DType::f32), size);
  const Tensor weights = trial.input("weights", 2, length, DType::f32);
  const Answer all = answer(Subject(trial, settings), x, weights);
  const double most = largest(all);
  verdict.note(fmt::format("largest value {:.2g}", most));
  if (std::isfinite(most)) return;

  // A definition may grow beyond any float with its input (an inner learner that diverges). Float64 tells: over a few
  // positions it holds the growth, while what is NaN there is so because of how it is computed.
  constexpr std::int64_t few = 8;
  SubjectSettings exact = settings;
  exact.dtype = DType::f64;
  const Tensor start = positions(x, 0, few).to(DType::f64);
  const double exactly = largest(answer(Subject(trial, exact), start, positions(weights, 0, few).to(DType::f64)));
  if (std::isfinite(exactly) && exactly > std::numeric_limits<float>::max()) {
    verdict.skip(fmt::format("the definition itself grows beyond float32: to {:.1g} in {} positions", exactly, few));
    return;
  }
  for (const Part& part : all.parts) {
    if (part.kind == Part::Kind::state) continue;
    verdict.require(all_finite<double>(part.values), fmt::format("{} is not finite", part.name));
  }
}

}  // namespace zoo::check
