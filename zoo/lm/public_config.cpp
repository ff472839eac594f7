#include "zoo/lm/public_config.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <system_error>

#include "zoo/core/error.h"

namespace zoo {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uintmax_t longest_config = 1 << 20;
// Rotary bases that attention takes.
constexpr Range rope_bases = {1, 1e12};

// Python's encoder writes the bare words Infinity, -Infinity and NaN, which are not JSON; here they become texts.
std::string with_quoted_infinities(const std::string& text) {
  std::string result;
  bool in_text = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (in_text && text[i] == '\\') {
      result += text.substr(i, 2);
      ++i;
      continue;
    }
    if (text[i] == '"') in_text = !in_text;
    if (!in_text) {
      bool found = false;
      for (const std::string_view word : {"-Infinity", "Infinity", "NaN"}) {
        if (text.compare(i, word.size(), word) != 0) continue;
        result += fmt::format("\"{}\"", word);
        i += word.size() - 1;
        found = true;
        break;
      }
      if (found) continue;
    }
    result += text[i];
  }
  return result;
}

std::string dumped(const json& value) {
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

std::string range_text(Range range) {
  if (std::isfinite(range.maximum)) return fmt::format("from {} to {}", range.minimum, range.maximum);
  return fmt::format("of at least {}", range.minimum);
}

}  // namespace

json read_public_json(const fs::path& path, std::uintmax_t longest) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    throw UsageError("cannot open '{}': {}", path.string(), error ? error.message() : "it is not a regular file");
  }
  const std::uintmax_t size = fs::file_size(path, error);
  if (error) throw UsageError("cannot open '{}': {}", path.string(), error.message());
  if (size > longest) {
    throw UsageError("'{}' has {} bytes; such a file has at most {}", path.string(), size, longest);
  }
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) throw UsageError("cannot read '{}'", path.string());
  try {
    return json::parse(with_quoted_infinities(text));
  } catch (const json::exception& problem) {
    throw UsageError("'{}' is not JSON: {}", path.string(), problem.what());
  }
}

PublicConfig::PublicConfig(const fs::path& file) : file_(file), settings_(read_public_json(file, longest_config)) {
  if (!settings_.is_object()) {
    throw UsageError("'{}' is not a configuration: it must be a JSON object, and is {}", file.string(),
                     dumped(settings_));
  }
}

const json* PublicConfig::find(std::string_view name) const {
  const auto at = settings_.find(std::string(name));
  return at == settings_.end() || at->is_null() ? nullptr : &*at;
}

std::string PublicConfig::shown(std::string_view name) const {
  const json* value = find(name);
  return value == nullptr ? "not there" : dumped(*value);
}

double PublicConfig::number(const json& value) {
  if (value.is_number()) return value.get<double>();
  // transformers 5 marks what is not JSON: {"__float__": "Infinity"}.
  if (value.is_object() && value.size() == 1 && value.contains("__float__")) return number(value.at("__float__"));
  if (value == "Infinity") return std::numeric_limits<double>::infinity();
  if (value == "-Infinity") return -std::numeric_limits<double>::infinity();
  return std::numeric_limits<double>::quiet_NaN();
}

std::int64_t PublicConfig::integer(std::string_view name, std::int64_t otherwise, Range range) {
  const json* value = find(name);
  if (value == nullptr) return otherwise;
  const double given = number(*value);
  const bool whole = value->is_number_integer() || (value->is_number() && std::floor(given) == given);
  if (!whole || given < range.minimum || given > range.maximum) {
    refuse(name, "expected a whole number {}", range_text(range));
    return otherwise;
  }
  return value->get<std::int64_t>();
}

double PublicConfig::real(std::string_view name, double otherwise, Range range) {
  const json* value = find(name);
  if (value == nullptr) return otherwise;
  const double given = number(*value);
  if (!(given >= range.minimum && given <= range.maximum)) {
    refuse(name, "expected a number {}", range_text(range));
    return otherwise;
  }
  return given;
}

bool PublicConfig::flag(std::string_view name, bool otherwise) {
  const json* value = find(name);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) {
    refuse(name, "expected true or false");
    return otherwise;
  }
  return value->get<bool>();
}

std::string PublicConfig::text(std::string_view name, const std::string& otherwise) {
  const json* value = find(name);
  if (value == nullptr) return otherwise;
  if (!value->is_string()) {
    refuse(name, "expected a text");
    return otherwise;
  }
  return value->get<std::string>();
}

void PublicConfig::require_text(std::string_view name, const std::string& otherwise,
                                const std::vector<std::string>& allowed) {
  const json* value = find(name);
  if (value == nullptr && std::ranges::find(allowed, otherwise) != allowed.end()) return;
  if (value != nullptr && value->is_string() &&
      std::ranges::find(allowed, value->get_ref<const std::string&>()) != allowed.end()) {
    return;
  }
  refuse(name, "supported is {}", fmt::join(allowed, " or "));
}

void PublicConfig::read_rope(std::string_view name, double& theta) {
  const json* settings = find(name);
  if (settings == nullptr) return;
  if (!settings->is_object()) {
    refuse(name, "expected an object, as {{\"rope_type\": \"default\"}}");
    return;
  }
  for (const char* key : {"rope_type", "type"}) {
    if (settings->contains(key) && settings->at(key) != "default") {
      refuse(name, "rotary positions are supported without scaling, rope_type default");
      return;
    }
  }
  if (settings->contains("partial_rotary_factor") && number(settings->at("partial_rotary_factor")) != 1) {
    refuse(name, "rotary positions are supported on whole heads, partial_rotary_factor 1");
  }
  if (!settings->contains("rope_theta")) return;
  const double given = number(settings->at("rope_theta"));
  if (!(given >= rope_bases.minimum && given <= rope_bases.maximum)) {
    refuse(name, "its rope_theta must be a number {}", range_text(rope_bases));
    return;
  }
  theta = given;
}

double PublicConfig::rope_theta() {
  double theta = real("rope_theta", 10000, rope_bases);
  if (real("partial_rotary_factor", 1, {}) != 1) refuse("partial_rotary_factor", "supported is 1, whole heads");
  read_rope("rope_scaling", theta);
  read_rope("rope_parameters", theta);
  return theta;
}

void PublicConfig::require_no_problems() const {
  if (problems_.empty()) return;
  throw UsageError("'{}' describes a model that cannot be made here:\n{}", file_.string(), fmt::join(problems_, "\n"));
}

}  // namespace zoo
