#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "zoo/sweep/settings.h"

namespace zoo {

/// A named sweep: settings written as a user would write them.
struct Preset {
  std::string name;
  std::string description;  ///< one line
  SettingSource settings;
};

const std::vector<Preset>& presets();
/// Throws UsageError with the nearest name for one that is not there.
const Preset& find_preset(std::string_view name);

}  // namespace zoo
