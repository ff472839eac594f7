#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace zoo::report {

/// What is compared: a layer with its options, and how it is called in tables and plots. Names come from plugins and
/// may hold any characters; whoever writes them escapes them.
struct Subject {
  nlohmann::json json;  ///< as recorded
  std::string layer;    ///< its name, on one line
  std::string options;  ///< "heads=2, window=64": options that differ from the layer's defaults; may be empty
  std::string label;    ///< the layer's name, with the options that tell it from others of the same name
};

/// The subjects, each once, in the given order, named so that no two labels are equal. Defaults come from the registry
/// of layers; every option is named of a layer that is not registered.
std::vector<Subject> name_subjects(const std::vector<nlohmann::json>& subjects);

/// The member of an object; null when there is none, or when it is no object.
nlohmann::json field(const nlohmann::json& object, const char* key);

/// A JSON number as such; NaN for anything else.
double number_or_nan(const nlohmann::json& value);

/// The slices that the columns of a table show, for people: "T 64, kv 8". Of several, options that are the same in all
/// are left out, but for the length and the pairs, which everybody looks for.
std::vector<std::string> slice_labels(const std::vector<nlohmann::json>& slices);

/// A nested JSON value as pairs of path and value: {"a": {"b": [1]}} is {{"a.b[0]", 1}}; empty containers are values.
std::vector<std::pair<std::string, nlohmann::json>> flatten(const nlohmann::json& value);

/// A setting that is not the same everywhere.
struct Difference {
  std::string name;                 ///< the path: "optimizer.weight_decay"
  std::vector<std::string> values;  ///< of each, in the order given; "(absent)" where there is none
};
/// What differs between several JSON values, by path.
std::vector<Difference> differences(const std::vector<nlohmann::json>& values);

}  // namespace zoo::report
