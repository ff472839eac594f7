#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "zoo/core/error.h"

namespace zoo {

/// Reads the keys of one object of a run's record, and complains (UsageError) of what is missing, mistyped or unknown.
/// The object must outlive the reader.
class RecordReader {
 public:
  RecordReader(const nlohmann::json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) throw UsageError("the record's {} is not an object", where_);
  }

  /// The value of a key that must be there, of type T.
  template <typename T>
  T get(const char* key) {
    const nlohmann::json& value = raw(key);
    try {
      return value.get<T>();
    } catch (const nlohmann::json::exception&) {
      throw UsageError("the record's {}.{} cannot be {}", where_, key, value.dump());
    }
  }

  /// The same, or `otherwise` when the key is not there or null.
  template <typename T>
  T get_or(const char* key, T otherwise) {
    return object_.contains(key) && !object_.at(key).is_null() ? get<T>(key) : (seen_.push_back(key), otherwise);
  }

  /// The value as it is.
  const nlohmann::json& raw(const char* key) {
    seen_.emplace_back(key);
    if (!object_.contains(key)) throw UsageError("the record's {} has no '{}'", where_, key);
    return object_.at(key);
  }

  /// Whatever the record says must have been read: an unknown key would be a setting silently ignored.
  void finish() const {
    for (const auto& [key, value] : object_.items()) {
      if (std::ranges::find(seen_, key) == seen_.end()) {
        throw UsageError("the record's {} has an unknown '{}'; known are {}", where_, key, fmt::join(seen_, ", "));
      }
    }
  }

 private:
  const nlohmann::json& object_;
  std::string where_;
  std::vector<std::string> seen_;
};

}  // namespace zoo
