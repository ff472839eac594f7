#include "zoo/sweep/subjects.h"

#include <fmt/format.h>

#include <algorithm>

#include "zoo/core/error.h"
#include "zoo/nn/model.h"
#include "zoo/sweep/text.h"

namespace zoo {

namespace {

using nlohmann::json;

// A value a,b,c stands for three: every combination of what such lists hold.
std::vector<json> combinations(const json& given, const std::string& layer) {
  std::vector<json> all = {json::object()};
  for (const auto& [name, value] : given.items()) {
    std::vector<json> values = {value};
    if (value.is_string() && value.get<std::string>().find(',') != std::string::npos) {
      const auto texts = split_list(fmt::format("--layer-option {}.{}", layer, name), value.get<std::string>());
      values.assign(texts.begin(), texts.end());
    }
    std::vector<json> longer;
    for (const json& start : all) {
      for (const json& one : values) {
        longer.push_back(start);
        longer.back()[name] = one;
      }
    }
    all = std::move(longer);
  }
  return all;
}

json given_to(const SweepSettings& settings, const std::string& key) {
  const auto at = settings.layer_options.find(key);
  return at == settings.layer_options.end() ? json::object() : at->second;
}

}  // namespace

std::vector<json> subjects_of(const std::string& layer, const SweepSettings& settings) {
  const auto parts = layer_parts(layer);
  if (std::ssize(parts) > settings.blocks) {
    throw UsageError("layer '{}' has {} parts, but the model has {} blocks; give --blocks {}", layer, parts.size(),
                     settings.blocks, parts.size());
  }
  // What is given, by key: of a layer, and of one part of a hybrid where that is given more.
  std::vector<std::pair<std::string, std::string>> keys;  // key, layer
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string numbered = numbered_part(parts[i], i);
    const bool own = !given_to(settings, numbered).empty();
    const std::pair<std::string, std::string> key = {own ? numbered : parts[i], parts[i]};
    if (std::ranges::find(keys, key) == keys.end()) keys.push_back(key);
  }
  std::vector<json> all = {json::object()};
  for (const auto& [key, name] : keys) {
    json given = given_to(settings, name);
    if (key != name) given.update(given_to(settings, key));
    const LayerEntry& entry = layer_registry().get(name);
    std::vector<json> longer;
    for (const json& start : all) {
      for (const json& one : combinations(given, key)) {
        longer.push_back(start);
        longer.back()[key] = Options(entry.options, one, "layer " + key).json();
      }
    }
    all = std::move(longer);
  }
  std::vector<json> subjects;
  for (const json& options : all) {
    const json subject = {{"layer", layer}, {"layer_options", options}};
    if (std::ranges::find(subjects, subject) != subjects.end()) {
      throw UsageError("--layer-option gives layer {} the same options twice: {}", layer, options.dump());
    }
    subjects.push_back(subject);
  }
  return subjects;
}

}  // namespace zoo
