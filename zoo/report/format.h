#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/report/statistics.h"

namespace zoo::report {

/// "0.998 ± 0.001", "0.998" without an interval, "–" of no values. Three decimals, rounded down where rounding would
/// turn an accuracy below 1 into 1.
std::string format_accuracy(const Estimate& accuracy);
std::string format_accuracy(double accuracy);
/// "0.0123": three figures of the mean; "–" of no values.
std::string format_loss(const Estimate& loss);
/// "1.50 KiB": three figures at most and a binary unit.
std::string format_bytes(double bytes);
/// "1.05 M": three figures and a decimal prefix.
std::string format_count(double count);
/// "0.003", "0.000464": three figures.
std::string format_rate(double rate);
/// The shortest decimal text that reads back as the same number; "" for NaN and infinities.
std::string format_exact(double value);
/// JSON as short text: strings without quotes, the rest compact.
std::string format_value(const nlohmann::json& value);

/// Columns that a terminal needs for a UTF-8 text (no double-width characters are expected).
std::size_t display_width(std::string_view text);
/// At most `limit` characters, the last of them "…" when the text is longer. Cuts between characters, never within one.
std::string shortened(std::string_view text, std::size_t limit);
/// "a", "a and b", "a, b and c".
std::string joined(const std::vector<std::string>& words);
/// With control characters (line breaks among them) replaced by spaces, and bytes that are not UTF-8 by U+FFFD.
std::string one_line(std::string_view text);

}  // namespace zoo::report
