#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "zoo/core/options.h"

namespace zoo {

/// The config.json of a public checkpoint. A setting that is absent or null has the default that is given; what is
/// wrong is gathered, so that one message tells all of it.
class PublicConfig {
 public:
  /// Throws UsageError naming the file when it cannot be read, is too long for a configuration, or is not a JSON
  /// object. Infinity and NaN, which Python writes without quotes, are read as texts.
  explicit PublicConfig(const std::filesystem::path& file);

  const std::filesystem::path& file() const { return file_; }

  /// The setting, or nullptr when it is absent or null.
  const nlohmann::json* find(std::string_view name) const;
  std::int64_t integer(std::string_view name, std::int64_t otherwise, Range range);
  double real(std::string_view name, double otherwise, Range range);
  bool flag(std::string_view name, bool otherwise);
  std::string text(std::string_view name, const std::string& otherwise);
  /// Refuses any value of the setting, of that default, but the allowed ones.
  void require_text(std::string_view name, const std::string& otherwise, const std::vector<std::string>& allowed);
  /// The base of rotary positions, from rope_theta, rope_parameters or rope_scaling; refuses every scaling of them.
  double rope_theta();

  /// Adds what is wrong with the setting: "name is VALUE; <problem>".
  template <typename... Args>
  void refuse(std::string_view name, fmt::format_string<Args...> problem, Args&&... args) {
    problems_.push_back(
        fmt::format("  {} is {}; {}", name, shown(name), fmt::format(problem, std::forward<Args>(args)...)));
  }
  /// Throws UsageError, naming the file, unless nothing was wrong.
  void require_no_problems() const;

  /// A number as Python's encoders write it: infinities too. NaN for anything else.
  static double number(const nlohmann::json& value);

 private:
  std::string shown(std::string_view name) const;
  void read_rope(std::string_view name, double& theta);

  std::filesystem::path file_;
  nlohmann::json settings_;
  std::vector<std::string> problems_;
};

/// The JSON in a text file of at most so many bytes. Throws UsageError naming the file.
nlohmann::json read_public_json(const std::filesystem::path& file, std::uintmax_t longest);

}  // namespace zoo
