#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "zoo/sweep/settings.h"

namespace zoo {

/// The subjects that a layer of a sweep stands for, as recorded: one for each combination of the values that its
/// options are given (attention.window=16,32 makes two), every option checked against the registry and written out with
/// its default. Throws UsageError for unknown names, wrong options, and a hybrid of more parts than the model has
/// blocks.
std::vector<nlohmann::json> subjects_of(const std::string& layer, const SweepSettings& settings);

}  // namespace zoo
