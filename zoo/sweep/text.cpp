#include "zoo/sweep/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "zoo/core/error.h"

namespace zoo {

namespace {

template <typename Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

template <typename Number>
void refuse_duplicates(std::string_view option, const std::vector<Number>& numbers) {
  for (auto at = numbers.begin(); at != numbers.end(); ++at) {
    if (std::find(numbers.begin(), at, *at) != at) throw UsageError("{} lists {} twice; say it once", option, *at);
  }
}

}  // namespace

std::string_view trim(std::string_view text) {
  constexpr std::string_view white = " \t\r\n";
  const auto begin = text.find_first_not_of(white);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(white) - begin + 1);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const auto end = text.find(separator);
    parts.emplace_back(trim(text.substr(0, end)));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string> split_list(std::string_view option, std::string_view text) {
  if (trim(text).empty()) throw UsageError("{} is empty; give at least one value, several as a,b,c", option);
  std::vector<std::string> parts = split(text, ',');
  if (std::ranges::any_of(parts, &std::string::empty)) {
    throw UsageError("{} '{}' has an empty place between its commas; write a,b,c", option, text);
  }
  refuse_duplicates(option, parts);
  return parts;
}

std::int64_t parse_integer(std::string_view option, std::string_view text, std::int64_t minimum) {
  std::int64_t number = 0;
  if (!read_number(text, number)) throw UsageError("{} '{}' is not a whole number", option, text);
  if (number < minimum) throw UsageError("{} is {}; it must be at least {}", option, text, minimum);
  return number;
}

double parse_real(std::string_view option, std::string_view text) {
  double number = 0;
  if (!read_number(text, number)) throw UsageError("{} '{}' is not a number", option, text);
  if (!std::isfinite(number)) throw UsageError("{} is '{}'; it must be a finite number", option, text);
  return number;
}

std::vector<std::int64_t> parse_integers(std::string_view option, std::string_view text, std::int64_t minimum) {
  std::vector<std::int64_t> numbers;
  for (const std::string& part : split_list(option, text)) numbers.push_back(parse_integer(option, part, minimum));
  refuse_duplicates(option, numbers);
  return numbers;
}

std::vector<double> parse_positive_reals(std::string_view option, std::string_view text) {
  std::vector<double> numbers;
  for (const std::string& part : split_list(option, text)) {
    numbers.push_back(parse_real(option, part));
    if (numbers.back() <= 0) throw UsageError("{} is {}; it must be above zero", option, part);
  }
  refuse_duplicates(option, numbers);
  return numbers;
}

std::string shell_command(const std::vector<std::string>& arguments) {
  constexpr std::string_view harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%^";
  std::string line;
  for (const std::string& argument : arguments) {
    if (!line.empty()) line += ' ';
    if (!argument.empty() && argument.find_first_not_of(harmless) == std::string::npos) {
      line += argument;
      continue;
    }
    line += '\'';
    for (const char letter : argument) line += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
    line += '\'';
  }
  return line;
}

}  // namespace zoo
