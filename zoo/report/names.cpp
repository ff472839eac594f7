#include "zoo/report/names.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "zoo/nn/layer.h"
#include "zoo/report/format.h"

namespace zoo::report {

namespace {

using nlohmann::json;
using Paths = std::vector<std::pair<std::string, json>>;

void flatten_into(const json& value, const std::string& path, Paths& paths) {
  if (!value.is_structured() || value.empty()) {
    paths.emplace_back(path, value);
  } else if (value.is_object()) {
    for (const auto& [key, item] : value.items()) flatten_into(item, path.empty() ? key : path + "." + key, paths);
  } else {
    for (std::size_t i = 0; i < value.size(); ++i) flatten_into(value[i], path + "[" + std::to_string(i) + "]", paths);
  }
}

bool is_default(const std::string& layer, const std::string& option, const json& value) {
  const LayerEntry* entry = layer_registry().find(layer.substr(0, layer.find('#')));
  const OptionSpec* spec = entry == nullptr ? nullptr : entry->options.find(option);
  return spec != nullptr && spec->default_value == value;
}

// Every option of a subject by name; with the layer's name before it where the subject is a hybrid of several.
struct Option {
  std::string name;
  std::string value;
  bool differs_from_default = true;
};

std::vector<Option> options_of(const json& subject) {
  std::vector<Option> options;
  const json layers = field(subject, "layer_options");
  for (const auto& [layer, values] : layers.items()) {
    if (!values.is_object()) continue;
    for (const auto& [name, value] : values.items()) {
      options.push_back({one_line(layers.size() > 1 ? layer + "." + name : name), format_value(value),
                         !is_default(layer, name, value)});
    }
  }
  if (!subject.is_object()) return options;
  for (const auto& [key, value] : subject.items()) {
    if (key == "layer" || key == "layer_options") continue;
    for (const auto& [name, item] : flatten(value)) {
      options.push_back({one_line(name.empty() ? key : key + "." + name), format_value(item)});
    }
  }
  return options;
}

template <typename Wanted>
std::string listed(const std::vector<Option>& options, Wanted&& wanted) {
  std::string text;
  for (const Option& option : options) {
    if (wanted(option)) text += (text.empty() ? "" : ", ") + option.name + "=" + option.value;
  }
  return text;
}

std::string layer_name(const json& subject) {
  const json name = field(subject, "layer");
  return name.is_null() ? "?" : format_value(name);
}

}  // namespace

json field(const json& object, const char* key) {
  return object.is_object() && object.contains(key) ? object[key] : json();
}

std::vector<Subject> name_subjects(const std::vector<json>& subjects) {
  std::vector<Subject> named;
  for (const json& subject : subjects) {
    const std::vector<Option> options = options_of(subject);
    Subject one{subject, layer_name(subject), listed(options, [](const Option& o) { return o.differs_from_default; }),
                ""};
    // Others of the same name are told apart by the options in which they differ.
    std::map<std::string, std::set<std::string>> values;
    for (const json& other : subjects) {
      if (layer_name(other) != one.layer) continue;
      std::map<std::string, std::string> others;
      for (const Option& option : options_of(other)) others[option.name] = option.value;
      for (const Option& option : options) values[option.name].insert(others[option.name]);
    }
    const std::string distinct = listed(options, [&](const Option& o) { return values[o.name].size() > 1; });
    one.label = distinct.empty() ? one.layer : one.layer + " (" + distinct + ")";
    named.push_back(std::move(one));
  }
  std::map<std::string, int> times;
  for (Subject& subject : named) {
    if (const int n = ++times[subject.label]; n > 1) subject.label += " #" + std::to_string(n);
  }
  return named;
}

double number_or_nan(const json& value) {
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

std::vector<std::string> slice_labels(const std::vector<json>& slices) {
  const auto in_all = [&](const std::string& key, const json& value) {
    return slices.size() > 1 &&
           std::ranges::all_of(slices, [&](const json& slice) { return field(slice, key.c_str()) == value; });
  };
  std::vector<std::string> labels;
  for (const json& slice : slices) {
    std::string text;
    const auto add = [&](const std::string& name, const json& value) {
      text += (text.empty() ? "" : ", ") + name + " " + format_value(value);
    };
    if (const json length = field(slice, "seq_len"); !length.is_null()) add("T", length);
    if (const json pairs = field(slice, "kv_pairs"); !pairs.is_null()) add("kv", pairs);
    if (slice.is_object()) {
      for (const auto& [key, value] : slice.items()) {
        if (key != "seq_len" && key != "kv_pairs" && !in_all(key, value)) add(one_line(key), value);
      }
    }
    labels.push_back(text.empty() ? "all" : text);
  }
  return labels;
}

Paths flatten(const json& value) {
  Paths paths;
  flatten_into(value, "", paths);
  return paths;
}

std::vector<Difference> differences(const std::vector<json>& values) {
  std::vector<std::map<std::string, json>> flat;
  std::set<std::string> names;
  for (const json& value : values) {
    auto& paths = flat.emplace_back();
    for (auto& [name, item] : flatten(value)) {
      names.insert(name);
      paths.emplace(name, item);
    }
  }
  std::vector<Difference> found;
  for (const std::string& name : names) {
    Difference difference{one_line(name), {}};
    bool same = true;
    for (const auto& paths : flat) {
      const auto at = paths.find(name);
      const auto first = flat.front().find(name);
      same = same && (at == paths.end()) == (first == flat.front().end()) &&
             (at == paths.end() || at->second == first->second);
      difference.values.push_back(at == paths.end() ? "(absent)" : format_value(at->second));
    }
    if (!same) found.push_back(std::move(difference));
  }
  return found;
}

}  // namespace zoo::report
