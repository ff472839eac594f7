#include "zoo/report/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace zoo::report {

namespace {

// Three figures: 1.05, 10.5, 105; whole numbers without a fraction.
std::string three_figures(double value) {
  if (value == std::floor(value) && value < 1000) return fmt::format("{:.0f}", value);
  return fmt::format("{:.{}f}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

bool continues_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

}  // namespace

std::string format_accuracy(double accuracy) {
  if (std::isnan(accuracy)) return "–";
  std::string text = fmt::format("{:.3f}", accuracy);
  return accuracy < 1 && text == "1.000" ? "0.999" : text;
}

std::string format_accuracy(const Estimate& accuracy) {
  std::string text = format_accuracy(accuracy.mean);
  if (accuracy.has_interval()) text += fmt::format(" ± {:.3f}", accuracy.half_width);
  return text;
}

std::string format_loss(const Estimate& loss) {
  return loss.count > 0 ? fmt::format("{:.3g}", loss.mean) : "–";
}

std::string format_bytes(double bytes) {
  constexpr std::array units = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < units.size(); ++unit) bytes /= 1024;
  return fmt::format("{} {}", three_figures(bytes), units[unit]);
}

std::string format_count(double count) {
  constexpr std::array prefixes = {"", " k", " M", " G", " T", " P", " E"};
  std::size_t prefix = 0;
  for (; count >= 999.5 && prefix + 1 < prefixes.size(); ++prefix) count /= 1000;
  return three_figures(count) + prefixes[prefix];
}

std::string format_rate(double rate) {
  return std::isfinite(rate) ? fmt::format("{:.3g}", rate) : "–";
}

std::string format_exact(double value) {
  return std::isfinite(value) ? fmt::format("{}", value) : "";
}

std::string format_value(const nlohmann::json& value) {
  if (value.is_string()) return one_line(value.get<std::string>());
  if (value.is_number_float()) return format_exact(value.get<double>());
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return !continues_character(c); }));
}

std::string shortened(std::string_view text, std::size_t limit) {
  if (display_width(text) <= limit) return std::string(text);
  std::size_t end = 0;
  for (std::size_t characters = 0; characters < limit; ++characters) {
    if (characters + 1 == limit) break;
    for (++end; end < text.size() && continues_character(text[end]); ++end) {
    }
  }
  return std::string(text.substr(0, end)) + "…";
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " and " : ", ";
    text += words[i];
  }
  return text;
}

std::string one_line(std::string_view text) {
  // The JSON writer replaces what is not UTF-8; its escapes are undone by reading it back.
  const nlohmann::json json = std::string(text);
  std::string clean = nlohmann::json::parse(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  std::ranges::replace_if(
      clean, [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; }, ' ');
  // The second set of control characters, U+0080 to U+009F, which some terminals obey.
  for (std::size_t i = 0; i + 1 < clean.size(); ++i) {
    if (clean[i] == '\xC2' && static_cast<unsigned char>(clean[i + 1]) < 0xA0) clean.replace(i, 2, " ");
  }
  return clean;
}

}  // namespace zoo::report
