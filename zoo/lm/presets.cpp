#include "zoo/lm/presets.h"

#include <algorithm>

#include "zoo/core/error.h"

namespace zoo {

const std::vector<LmPreset>& lm_presets() {
  constexpr std::int64_t half_a_million = std::int64_t{256} * 2048;
  static const std::vector<LmPreset> presets = {
      {"tiny", 4, 128, 2, 3e-3, 256, 8192, 500},
      {"small", 6, 256, 4, 3e-3, 1024, 16384, 1000},
      {"125m", 12, 768, 12, 3e-3, 2048, half_a_million, 4800},
      {"350m", 24, 1024, 16, 1.5e-3, 2048, half_a_million, 13500},
      {"760m", 24, 1536, 16, 1.25e-3, 2048, half_a_million, 29000},
      {"1.3b", 24, 2048, 32, 1e-3, 2048, half_a_million, 50000},
  };
  return presets;
}

const LmPreset& find_lm_preset(std::string_view name) {
  const auto& presets = lm_presets();
  const auto found = std::ranges::find(presets, name, &LmPreset::name);
  if (found != presets.end()) return *found;
  std::vector<std::string> names;
  for (const LmPreset& preset : presets) names.push_back(preset.name);
  throw UsageError(unknown_name_message("preset", name, names));
}

}  // namespace zoo
