#pragma once

#include <fmt/format.h>

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace zoo {

/// Something went wrong: the message says what was given, what was expected and what to do. Exit code 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;

  /// Formats the message as fmt::format does.
  template <typename... Args>
  explicit Error(fmt::format_string<Args...> format, Args&&... args) requires(sizeof...(Args) > 0)
      : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)) {}
};

/// Wrong usage or input, found before any work began. Exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// The candidate closest to `name` by edit distance, or "" when none is near enough to be a likely typo.
std::string nearest_name(std::string_view name, std::span<const std::string> candidates);

/// "unknown <kind> 'name'; did you mean 'x'? Known: a, b, c", the message for every unknown name.
std::string unknown_name_message(std::string_view kind, std::string_view name, std::span<const std::string> candidates);

}  // namespace zoo
