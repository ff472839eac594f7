#pragma once

#include <vector>

#include "zoo/io/store.h"

namespace zoo {

/// The runs of several stores as if one had recorded them, such as the shards of a sweep, in the order in which they
/// first started. A run that several have comes from the one in which it got furthest: ended with a result before
/// running, interrupted or failed; of equals, more epochs, then the one that started first.
std::vector<Run> merge_runs(std::vector<std::vector<Run>> stores);

}  // namespace zoo
