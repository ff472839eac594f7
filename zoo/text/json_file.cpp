#include "zoo/text/json_file.h"

#include <cerrno>
#include <span>
#include <system_error>

#include "zoo/core/error.h"
#include "zoo/text/text_file.h"

namespace zoo {

namespace {

using nlohmann::json;

// A list of a hundred thousand text files takes some 20 MB.
constexpr std::int64_t longest = std::int64_t{1} << 30;
constexpr int deepest = 8;

bool is_count(const json& value) {
  return value.is_number_unsigned() && value.get<std::uint64_t>() <= std::uint64_t{1} << 62;
}

json parse(const std::string& path, const std::string& text) {
  const json::parser_callback_t check = [&](int depth, json::parse_event_t, json&) {
    if (depth > deepest) throw UsageError("'{}' is damaged: it is nested too deeply", path);
    return true;
  };
  try {
    return json::parse(text, check);
  } catch (const json::exception&) {
    throw UsageError("'{}' is damaged: it is not JSON", path);
  }
}

}  // namespace

std::string read_small_file(const std::filesystem::path& path, std::int64_t limit) {
  const TextFile file(path.string());
  if (file.size() > limit) {
    throw UsageError("'{}' has {} bytes; at most {} are expected", path.string(), file.size(), limit);
  }
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  text.resize(file.read(0, text));
  return text;
}

JsonFile::JsonFile(const std::string& path, std::string_view format, int version)
    : path_(path), value_(parse(path, read_small_file(path, longest))) {
  if (!value_.is_object() || !value_.contains("format") || value_["format"] != format || !value_.contains("version") ||
      !is_count(value_["version"])) {
    throw UsageError("'{}' is not a {} file", path, format);
  }
  if (count("version") > version) {
    throw UsageError("'{}' has version {} of its format, and this zoo reads up to {}; use a newer zoo", path,
                     count("version"), version);
  }
}

const json& JsonFile::member(const char* name, bool kind(const json&), const char* expected) const {
  const auto found = value_.find(name);
  if (found == value_.end() || !kind(*found)) {
    throw UsageError("'{}' is damaged: '{}' must be {}", path_, name, expected);
  }
  return *found;
}

std::string JsonFile::text(const char* name) const {
  return member(
             name, [](const json& value) { return value.is_string(); }, "a text")
      .get<std::string>();
}

std::int64_t JsonFile::count(const char* name) const {
  return member(name, is_count, "a whole number from 0 on").get<std::int64_t>();
}

std::map<std::string, std::string> JsonFile::texts(const char* name) const {
  std::map<std::string, std::string> all;
  for (const auto& [key, value] : member(
                                      name, [](const json& found) { return found.is_object(); }, "an object")
                                      .items()) {
    if (!value.is_string()) throw UsageError("'{}' is damaged: '{}' of '{}' must be a text", path_, key, name);
    all[key] = value.get<std::string>();
  }
  return all;
}

JsonFile JsonFile::object(const char* name) const {
  return {path_, member(
                     name, [](const json& value) { return value.is_object(); }, "an object")};
}

std::vector<JsonFile> JsonFile::objects(const char* name) const {
  std::vector<JsonFile> all;
  for (const json& item : member(
           name, [](const json& value) { return value.is_array(); }, "a list")) {
    if (!item.is_object()) throw UsageError("'{}' is damaged: '{}' must be a list of objects", path_, name);
    all.push_back({path_, item});
  }
  return all;
}

}  // namespace zoo
