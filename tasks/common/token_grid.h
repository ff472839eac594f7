#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "zoo/core/task.h"

namespace zoo::tasks {

/// A token as a few letters that say what it is: k3 a key, v9 a value, n17 noise.
using TokenSymbol = std::function<std::string(std::int32_t token)>;

/// An example as rows of 16 tokens, with their labels below where there are any ("." where unlabelled). A row like the
/// one before is left out, and of more than 64 all but the first and the last 32. Throws Error, naming the task, unless
/// there are `seq_len` tokens and labels.
std::string token_grid(std::string_view task, const Example& example, std::int64_t seq_len, const TokenSymbol& symbol);

}  // namespace zoo::tasks
