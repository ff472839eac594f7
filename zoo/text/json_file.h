#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace zoo {

/// The whole of a file, for files of at most `limit` bytes. Throws UsageError, naming it, when it is missing, cannot be
/// read or is longer.
std::string read_small_file(const std::filesystem::path& path, std::int64_t limit);

/// An object of a JSON file of ours, each of whose members is checked as it is read: what is missing or of another kind
/// throws UsageError with the file's name. Files begin with {"format": FORMAT, "version": N}.
class JsonFile {
 public:
  /// Reads a file of this format, of this version or an older one.
  JsonFile(const std::string& path, std::string_view format, int version);

  const std::string& path() const { return path_; }
  bool contains(const char* name) const { return value_.contains(name); }
  std::string text(const char* name) const;
  /// A whole number from 0 to 2^62.
  std::int64_t count(const char* name) const;
  /// An object of texts.
  std::map<std::string, std::string> texts(const char* name) const;
  JsonFile object(const char* name) const;
  /// A list of objects.
  std::vector<JsonFile> objects(const char* name) const;

 private:
  JsonFile(std::string path, nlohmann::json value) : path_(std::move(path)), value_(std::move(value)) {}
  const nlohmann::json& member(const char* name, bool kind(const nlohmann::json&), const char* expected) const;

  std::string path_;
  nlohmann::json value_;
};

}  // namespace zoo
