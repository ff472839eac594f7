#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "zoo/io/store.h"

namespace zoo::test {

/// One run as a report sees it, with sensible values for what a test does not care about.
struct RunBuilder {
  std::string layer = "attention";
  nlohmann::json options = {{"heads", 1}};
  int d_model = 64;
  double lr = 1e-3;
  int seed = 0;
  int seq_len = 64;
  int kv_pairs = 8;
  double validation = 0.5;  ///< accuracy
  double test = 0.5;        ///< accuracy
  std::int64_t state_bytes = 4096;
  RunStatus status = RunStatus::done;
  std::string message = {};
  nlohmann::json setting = {{"task", "mqar"}, {"epochs", 4}, {"optimizer", {{"name", "adamw"}, {"weight_decay", 0.1}}}};

  nlohmann::json slice() const { return {{"seq_len", seq_len}, {"kv_pairs", kv_pairs}}; }

  Run build() const {
    nlohmann::json part = slice();
    part["examples"] = 1000;
    Run run;
    run.spec.subject = {{"layer", layer}, {"layer_options", {{layer, options}}}};
    run.spec.axes = {{"d_model", d_model}, {"lr", lr}, {"seed", seed}};
    run.spec.axes["cell"] = {{"batch_size", 64}, {"train", {part}}, {"test", {part}}};
    run.spec.setting = setting;
    run.id = run.spec.id();
    run.status = status;
    run.message = message;
    run.environment = {{"zoo", "0.1.0"}, {"threads", 1}, {"command", "zoo recall --preset quick"}};
    run.started = "2026-01-02T03:04:05Z";
    if (status == RunStatus::failed) return run;
    run.finished = "2026-01-02T03:05:05Z";
    run.summary = {{"parameters", 12'345}, {"flops", 1.5e12}, {"epochs", 2}, {"train_seconds", 1.25}};
    for (const int epoch : {1, 2}) {
      run.epochs.push_back({epoch, 3.0 / epoch, 2.5 / epoch, validation * epoch / 2, lr, 0.5 * epoch});
    }
    run.slices = {{"validation", slice(), validation, 1 - validation, state_bytes, 8000},
                  {"test", slice(), test, 1 - test, state_bytes, 8000}};
    return run;
  }
};

}  // namespace zoo::test
