#include "zoo/check/conformance.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>

#include "zoo/check/checks.h"
#include "zoo/core/error.h"

namespace zoo {

namespace {

struct Check {
  CheckDescription description;
  void (*run)(const check::Trial&, check::Verdict&);
};

constexpr std::array checks = {
    Check{{"parameters", "are parameters named once, drawn alike twice, finite, and all in use"},
          check::check_parameters},
    Check{{"gradient", "are gradients the slopes of the function (central differences)"}, check::check_gradient},
    Check{{"second_order", "are gradients of gradients the slopes of the gradients"}, check::check_second_order},
    Check{{"backward", "do backward kernels agree with gradients written in ops"}, check::check_backward},
    Check{{"fused", "do fused kernels agree with their definitions in ops"}, check::check_fused},
    Check{{"precision", "is float32 as near to float64 as rounding allows"}, check::check_precision},
    Check{{"devices", "does every device agree with the CPU"}, check::check_devices},
    Check{{"chunks", "does splitting a sequence anywhere leave the result the same"}, check::check_chunks},
    Check{{"rows", "are outputs the same when only some rows are read"}, check::check_rows},
    Check{{"positionwise", "if it claims so, does each output depend on its own position alone"},
          check::check_positionwise},
    Check{{"causality", "are outputs independent of later inputs"}, check::check_causality},
    Check{{"batch", "are sequences of a batch independent of each other"}, check::check_batch},
    Check{{"repeatable", "does the same computation give the same bits"}, check::check_repeatable},
    Check{{"memory", "are only own and initialised memory read and written"}, check::check_memory},
    Check{{"dropout", "is randomness decided by the key, and off outside training"}, check::check_dropout},
    Check{{"save_load", "do saved parameters give the same bits in a fresh layer"}, check::check_save_load},
    Check{{"long", "is all finite up to position 16384"}, check::check_long},
    Check{{"large", "are outputs and gradients finite for inputs of size 10000"}, check::check_large},
    Check{{"flops", "do counted FLOPs grow between linearly and quadratically"}, check::check_flops},
    Check{{"state_bytes", "is the state constant, or grows at most linearly"}, check::check_state_bytes},
    Check{{"learning", "does the loss fall on a tiny copy task"}, check::check_learning},
};

Finding run_check(const Check& check, const check::Trial& trial, std::size_t case_number) {
  check::Verdict verdict;
  Finding finding;
  finding.case_number = case_number;
  finding.layer_case = *trial.layer_case;
  finding.check = check.description.name;
  finding.seed = trial.seed;
  const auto begin = std::chrono::steady_clock::now();
  try {
    check.run(trial, verdict);
  } catch (const std::exception& error) {
    verdict.require(false, fmt::format("threw: {}", error.what()));
  } catch (...) {
    verdict.require(false, "threw something that is not a std::exception");
  }
  finding.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  finding.outcome = verdict.outcome();
  finding.measured = verdict.measured();
  finding.bound = verdict.bound();
  finding.message = verdict.message();
  return finding;
}

std::vector<const Check*> select(const std::vector<std::string>& names) {
  std::vector<std::string> known;
  for (const Check& check : checks) known.emplace_back(check.description.name);
  for (const std::string& name : names) {
    if (std::ranges::find(known, name) == known.end()) throw UsageError(unknown_name_message("check", name, known));
  }
  std::vector<const Check*> selected;
  for (const Check& check : checks) {
    if (names.empty() || std::ranges::find(names, check.description.name) != names.end()) selected.push_back(&check);
  }
  return selected;
}

}  // namespace

std::string_view outcome_name(Outcome outcome) {
  switch (outcome) {
    case Outcome::passed:
      return "passed";
    case Outcome::failed:
      return "failed";
    case Outcome::skipped:
      return "skipped";
  }
  return "?";
}

std::vector<CheckDescription> conformance_checks() {
  std::vector<CheckDescription> descriptions;
  for (const Check& check : checks) descriptions.push_back(check.description);
  return descriptions;
}

std::vector<LayerCase> conformance_cases(const LayerEntry& entry) {
  return entry.test_cases.empty() ? std::vector<LayerCase>{{.d_model = 16}} : entry.test_cases;
}

std::vector<Finding> check_layer(const LayerEntry& entry, const CheckOptions& options) {
  const std::vector<LayerCase> cases = conformance_cases(entry);
  if (options.only_case > cases.size()) {
    throw UsageError("there is no case {} of '{}'; its cases are numbered from 1 to {}", options.only_case, entry.name,
                     cases.size());
  }
  std::vector<Finding> findings;
  for (const Check* check : select(options.only_checks)) {
    for (std::size_t number = 1; number <= cases.size(); ++number) {
      if (options.only_case != 0 && options.only_case != number) continue;
      const check::Trial trial{&entry, &cases[number - 1], options.seed};
      findings.push_back(run_check(*check, trial, number));
      if (options.on_finding) options.on_finding(findings.back());
    }
  }
  return findings;
}

}  // namespace zoo
