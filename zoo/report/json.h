#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "zoo/io/store.h"
#include "zoo/report/summary.h"

namespace zoo::report {

/// results.json: every run with its record, environment, epochs and slices, and the summary: for each setting its
/// columns and rows with accuracies, intervals, state bytes, parameters, the scores of the learning rates and the
/// choice. NaN and infinities are null.
nlohmann::json results_json(std::span<const Run> runs, const Summary& summary, const std::string& command);

}  // namespace zoo::report
