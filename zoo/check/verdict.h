#pragma once

#include <limits>
#include <string>

#include "zoo/check/conformance.h"

namespace zoo::check {

/// What a check found, gathered while it runs: the quantity nearest its bound, and the first few that broke it.
class Verdict {
 public:
  /// A quantity that must not exceed its bound; NaN does.
  void compare(double measured, double bound, const std::string& what);
  /// A condition; `problem` is the message when it does not hold.
  void require(bool holds, const std::string& problem);
  /// The check does not apply, and why.
  void skip(std::string reason);
  /// What a reader of a passed check wants to know, in place of the name of the quantity nearest its bound.
  void note(std::string text) { note_ = std::move(text); }

  Outcome outcome() const;
  double measured() const { return measured_; }
  double bound() const { return bound_; }
  std::string message() const;

 private:
  void fail(const std::string& problem);

  double measured_ = std::numeric_limits<double>::quiet_NaN();
  double bound_ = std::numeric_limits<double>::quiet_NaN();
  double worst_ = -1;  // of measured / bound
  std::string nearest_;
  std::string problems_;
  int problem_count_ = 0;
  std::string skipped_;
  std::string note_;
};

}  // namespace zoo::check
