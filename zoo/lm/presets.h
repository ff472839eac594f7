#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace zoo {

/// A size of language model with the recipe that goes with it.
struct LmPreset {
  std::string name;
  std::int64_t blocks;
  std::int64_t d_model;
  std::int64_t heads;
  double learning_rate;
  std::int64_t context;
  std::int64_t batch_tokens;
  std::int64_t steps;
};

/// 125m, 350m, 760m and 1.3b are the sizes of the TTT paper (Sun et al. 2024, "Learning to (learn at test time)", table
/// of appendix C, after Brown et al. 2020 and Gu and Dao 2023), with half a million tokens a batch and twenty tokens a
/// parameter; small (5 million weights) and tiny (0.8 million; both beside the embedding) are for a laptop.
const std::vector<LmPreset>& lm_presets();

/// Throws UsageError with the nearest name for one that is not there.
const LmPreset& find_lm_preset(std::string_view name);

}  // namespace zoo
