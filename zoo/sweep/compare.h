#pragma once

#include <string>
#include <vector>

#include "zoo/io/store.h"

namespace zoo {

/// Everything in which two results of one run differ, bit for bit, in words: each epoch (without its time) and each
/// slice with all figures, and the sums that do not depend on the clock. Empty when they are equal.
std::vector<std::string> result_differences(const Run& recorded, const Run& again);

}  // namespace zoo
