#include "zoo/check/verdict.h"

#include <fmt/format.h>

#include <cmath>

namespace zoo::check {

namespace {

constexpr int problems_shown = 3;

}  // namespace

void Verdict::compare(double measured, double bound, const std::string& what) {
  const bool holds = measured <= bound;  // false for NaN
  double ratio = std::numeric_limits<double>::infinity();
  if (bound > 0 && !std::isnan(measured)) ratio = measured / bound;
  if (bound == 0 && measured == 0) ratio = 0;
  if (ratio > worst_) {
    worst_ = ratio;
    measured_ = measured;
    bound_ = bound;
    nearest_ = what;
  }
  if (!holds) fail(fmt::format("{}: {:.3g} exceeds {:.3g}", what, measured, bound));
}

void Verdict::require(bool holds, const std::string& problem) {
  if (!holds) fail(problem);
}

void Verdict::skip(std::string reason) {
  skipped_ = std::move(reason);
}

void Verdict::fail(const std::string& problem) {
  if (problem_count_ < problems_shown) problems_ += (problems_.empty() ? "" : "\n") + problem;
  ++problem_count_;
}

Outcome Verdict::outcome() const {
  if (problem_count_ > 0) return Outcome::failed;
  return skipped_.empty() ? Outcome::passed : Outcome::skipped;
}

std::string Verdict::message() const {
  if (problem_count_ > problems_shown)
    return fmt::format("{}\nand {} more", problems_, problem_count_ - problems_shown);
  if (problem_count_ > 0) return problems_;
  if (!skipped_.empty()) return skipped_;
  return note_.empty() ? nearest_ : note_;
}

}  // namespace zoo::check
