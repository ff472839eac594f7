#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "zoo/sweep/settings.h"

namespace zoo {

/// A value and where it comes from: the index of its source, so that later ones win and presets are known.
struct Ranked {
  std::string value;
  std::size_t rank = 0;
};

/// All sources of settings put together, nothing converted yet.
struct Merged {
  std::map<std::string, Ranked> single;                             ///< "epochs" -> "64"
  std::map<std::string, std::map<std::string, Ranked>> repeatable;  ///< "layer-option" -> "attention.heads" -> "2"
  std::vector<std::string> origins;

  /// The value of a name, nullptr when no source gives it.
  const Ranked* find(const std::string& name) const;
  /// Throws UsageError when no source gives it.
  const std::string& get(const std::string& name) const;
  std::size_t rank(const std::string& name) const;
  /// Not from the preset, which is the first source.
  bool by_user(const Ranked& ranked) const { return ranked.rank > 0; }
};

/// Throws UsageError for a name that is not one of setting_names(), one given twice in a source, and an assignment that
/// is none.
Merged merge(const std::vector<SettingSource>& sources);

}  // namespace zoo
