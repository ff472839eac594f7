#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "zoo/lm/sampling.h"
#include "zoo/nn/model.h"

namespace zoo {

struct GenerateOptions {
  SamplingOptions sampling;
  std::int64_t max_tokens = 128;
  std::int32_t end = -1;  ///< the token that ends a text; -1: none does
  std::uint64_t seed = 0;
};

/// Goes on with prompts of one length, all at once: reads them in one piece, then a token at a time with the layers'
/// states, so that a token costs the same wherever it stands (attention's cost grows with its cache). A text depends on
/// its own prompt and number alone, not on those beside it, but for roundings. `numbers[i]` is what prompt i is drawn
/// under, beside the seed. `token(i, t)` is called for every new token of prompt i, the end included. Returns the new
/// tokens, without the end. Throws UsageError for an empty prompt.
std::vector<std::vector<std::int32_t>> generate(const Model& model,
                                                const std::vector<std::vector<std::int32_t>>& prompts,
                                                std::span<const std::uint64_t> numbers, const GenerateOptions& options,
                                                const std::function<void(std::size_t, std::int32_t)>& token = {});

}  // namespace zoo
