#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "zoo/core/random.h"

namespace zoo {

/// How the next token is chosen from its logits.
struct SamplingOptions {
  double temperature = 1;         ///< logits are divided by it; 0: the largest logit
  std::int64_t top_k = 0;         ///< only so many of the likeliest tokens; 0: all
  double top_p = 1;               ///< only the likeliest tokens whose probabilities sum up to it (Holtzman et al. 2020)
  double repetition_penalty = 1;  ///< of tokens seen before: see below (Keskar et al. 2019, "CTRL", section 4.1)
};

/// Draws the next token. `logits` [V]; `seen` are the tokens before it: a logit of one of them is divided by the
/// repetition penalty where it is above zero, and multiplied where it is below. Of equal logits the first token comes
/// first. Throws Error when a logit is NaN or the largest is infinite.
std::int32_t sample(std::span<const float> logits, std::span<const std::int32_t> seen, const SamplingOptions& options,
                    RandomStream& random);

/// Throws UsageError for options out of their range.
void check_sampling(const SamplingOptions& options);

}  // namespace zoo
