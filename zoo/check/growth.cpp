#include <cmath>

#include "zoo/check/answer.h"
#include "zoo/check/checks.h"
#include "zoo/core/flops.h"
#include "zoo/core/tape.h"

namespace zoo::check {

namespace {

constexpr std::int64_t base_length = 256;

// Of one sequence, forward and backward.
double flops_at(const Trial& trial, std::int64_t length) {
  const Subject subject(trial, {.max_length = 2 * base_length});
  const Tensor x = trial.input("flops", 1, length, DType::f32);
  const double before = flops_counted();
  answer(subject, x, x);
  return flops_counted() - before;
}

double state_bytes_at(const Trial& trial, std::int64_t batch, std::int64_t length) {
  const Subject subject(trial, {.max_length = 2 * base_length});
  const Tensor x = trial.input("state_bytes", batch, length, DType::f32);
  const NoTape off;
  State state = subject.layer().initial_state(batch);
  if (length > 0) run(subject.layer(), x, state);
  return static_cast<double>(state.bytes());
}

}  // namespace

void check_flops(const Trial& trial, Verdict& verdict) {
  const double once = flops_at(trial, base_length), twice = flops_at(trial, 2 * base_length);
  verdict.require(once == flops_at(trial, base_length), "two counts of the same pass differ");
  verdict.require(once >= 0 && twice >= 0, fmt::format("{} and {} were counted", once, twice));
  if (once == 0 && twice == 0) {
    verdict.note("no products: elementwise work is not counted");
    return;
  }
  // Work that does not depend on the length (on the parameters alone) may keep the ratio a little below 2.
  constexpr double least = 1.9;
  const double ratio = twice / once;
  verdict.require(ratio >= least, fmt::format("FLOPs at {} positions are {:.3g} times those at {}: less than linear",
                                              2 * base_length, ratio, base_length));
  const double exponent = std::log2(ratio);
  verdict.compare(exponent, 2, "exponent of the growth");
  verdict.note(fmt::format("grow as T^{:.2f}: {:.4g} at T {}", exponent, once, base_length));
}

void check_state_bytes(const Trial& trial, Verdict& verdict) {
  const double once = state_bytes_at(trial, 1, base_length), twice = state_bytes_at(trial, 1, 2 * base_length);
  verdict.require(twice >= once, fmt::format("{} bytes after {} positions, {} after {}: a state does not shrink", once,
                                             base_length, twice, 2 * base_length));
  verdict.compare(once == 0 ? twice : twice / once, once == 0 ? 0 : 2, "growth of the state when T doubles");
  const double pair = state_bytes_at(trial, 2, base_length);
  verdict.require(pair == 2 * once, fmt::format("{} bytes for one sequence, {} for two", once, pair));
  const double exponent = once == 0 ? 0 : std::log2(twice / once);
  verdict.note(fmt::format("{:.0f} at T {}, {}", once, base_length,
                           exponent == 0 ? "constant" : fmt::format("grow as T^{:.2f}", exponent)));
}

}  // namespace zoo::check
