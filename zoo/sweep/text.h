#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

/// Reading what a user wrote as the value of an option. `option` is the option's name as in messages ("--d-model").
/// Everything here throws UsageError saying what was given and what is expected.
namespace zoo {

/// The parts of a comma list, spaces around them removed. Throws for an empty list, an empty part, or a part that is
/// there twice (two equal runs are one run).
std::vector<std::string> split_list(std::string_view option, std::string_view text);
/// The parts between separators, spaces around them removed; none is dropped.
std::vector<std::string> split(std::string_view text, char separator);
/// Without the white space at both ends.
std::string_view trim(std::string_view text);

/// A whole number of at least `minimum`.
std::int64_t parse_integer(std::string_view option, std::string_view text,
                           std::int64_t minimum = std::numeric_limits<std::int64_t>::min());
/// A finite number.
double parse_real(std::string_view option, std::string_view text);

std::vector<std::int64_t> parse_integers(std::string_view option, std::string_view text, std::int64_t minimum);
/// Numbers above zero.
std::vector<double> parse_positive_reals(std::string_view option, std::string_view text);

/// The arguments as a line that a POSIX shell reads back as the same arguments.
std::string shell_command(const std::vector<std::string>& arguments);

}  // namespace zoo
