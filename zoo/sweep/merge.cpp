#include "zoo/sweep/merge.h"

#include <algorithm>

#include "zoo/core/error.h"
#include "zoo/sweep/text.h"

namespace zoo {

namespace {

// Settings that are an option of the task or of the backbone by another name.
std::pair<std::string, std::string> unalias(const std::pair<std::string, std::string>& setting) {
  if (setting.first == "vocab-size") return {"task-option", "vocab_size=" + setting.second};
  if (setting.first == "embedding-dropout") return {"backbone-option", "embedding_dropout=" + setting.second};
  return setting;
}

void add_assignment(Merged& merged, const std::string& name, const std::string& value, std::size_t rank) {
  const auto equals = value.find('=');
  const std::string key(trim(value.substr(0, equals)));
  if (equals == std::string::npos || key.empty()) {
    const bool dotted = name == "layer-option";
    throw UsageError("--{} '{}' is not an assignment; write {}", name, value,
                     dotted ? "LAYER.OPTION=VALUE, for example attention.heads=2" : "OPTION=VALUE");
  }
  auto [at, inserted] = merged.repeatable[name].try_emplace(key);
  if (!inserted && at->second.rank == rank) {
    throw UsageError("--{} sets {} twice in {}; say it once", name, key, merged.origins[rank]);
  }
  at->second = {std::string(trim(value.substr(equals + 1))), rank};
}

}  // namespace

const Ranked* Merged::find(const std::string& name) const {
  const auto at = single.find(name);
  return at == single.end() ? nullptr : &at->second;
}

const std::string& Merged::get(const std::string& name) const {
  if (const Ranked* ranked = find(name)) return ranked->value;
  throw UsageError("--{} is missing; give it", name);
}

std::size_t Merged::rank(const std::string& name) const {
  const Ranked* ranked = find(name);
  return ranked == nullptr ? 0 : ranked->rank;
}

Merged merge(const std::vector<SettingSource>& sources) {
  Merged merged;
  for (std::size_t rank = 0; rank < sources.size(); ++rank) {
    merged.origins.push_back(sources[rank].origin);
    for (const auto& written : sources[rank].values) {
      const auto [name, value] = unalias(written);
      const auto known = std::ranges::find(setting_names(), name, &SettingName::name);
      if (known == setting_names().end()) {
        std::vector<std::string> names;
        for (const SettingName& setting : setting_names()) names.push_back(setting.name);
        throw UsageError("{}: {}", sources[rank].origin, unknown_name_message("setting", name, names));
      }
      if (known->repeatable) {
        add_assignment(merged, name, value, rank);
        continue;
      }
      auto [at, inserted] = merged.single.try_emplace(name);
      if (!inserted && at->second.rank == rank) {
        throw UsageError("--{} is given twice in {}; say it once, several values as a,b,c", name, sources[rank].origin);
      }
      at->second = {value, rank};
    }
  }
  return merged;
}

}  // namespace zoo
