#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/nn/layer.h"

/// The conformance suite: what every layer and feed-forward must satisfy, asked of it without knowing it. README.md
/// says what each check means and where its bound comes from.
namespace zoo {

enum class Outcome { passed, failed, skipped };
/// "passed", "failed", "skipped".
std::string_view outcome_name(Outcome outcome);

/// The result of one check on one test case.
struct Finding {
  std::size_t case_number = 0;  ///< place among the layer's cases, from 1
  LayerCase layer_case;
  std::string check;
  Outcome outcome = Outcome::passed;
  double measured = 0;  ///< of the quantity nearest its bound; NaN when the check has none
  double bound = 0;
  std::string message;  ///< what was measured, what is wrong, or why it was skipped
  double seconds = 0;
  std::uint64_t seed = 0;  ///< this seed, case and check alone repeat the finding
};

/// What to run.
struct CheckOptions {
  std::uint64_t seed = 0;
  std::size_t only_case = 0;             ///< number from 1; 0 = all
  std::vector<std::string> only_checks;  ///< names; empty = all
  /// Called after each, for a progress display.
  std::function<void(const Finding&)> on_finding = {};
};

/// A check's name and the question it asks, in one line.
struct CheckDescription {
  std::string_view name;
  std::string_view question;
};

/// All checks in the order in which they run.
std::vector<CheckDescription> conformance_checks();

/// The entry's test cases; for an entry without any, its default options at d_model 16.
std::vector<LayerCase> conformance_cases(const LayerEntry& entry);

/// Runs the checks on every test case of a layer or feed-forward. What the layer throws becomes a failed finding.
/// Throws UsageError for a case or a check that there is not.
std::vector<Finding> check_layer(const LayerEntry& entry, const CheckOptions& options = {});

}  // namespace zoo
