#include "zoo/core/options_describe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace zoo {

namespace {

std::string range_text(const OptionSpec& spec) {
  const bool from = std::isfinite(spec.minimum);
  const bool to = std::isfinite(spec.maximum);
  if (from && to) return fmt::format(" from {} to {}", spec.minimum, spec.maximum);
  if (from) return fmt::format(" of at least {}", spec.minimum);
  if (to) return fmt::format(" of at most {}", spec.maximum);
  return "";
}

std::string default_text(const nlohmann::json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

std::string_view option_type_name(OptionType type) {
  static constexpr std::array<std::string_view, 6> names = {"boolean", "integer", "real",
                                                            "text",    "choice",  "real or choice"};
  return names[static_cast<std::size_t>(type)];
}

std::string allowed_values(const OptionSpec& spec) {
  switch (spec.type) {
    case OptionType::boolean:
      return "true or false";
    case OptionType::integer:
      return "a whole number" + range_text(spec);
    case OptionType::real:
      return "a number" + range_text(spec);
    case OptionType::text:
      return "text";
    case OptionType::choice:
      return fmt::format("one of {}", fmt::join(spec.choices, ", "));
    case OptionType::real_or_choice:
      return fmt::format("a number{}, or {}", range_text(spec), fmt::join(spec.choices, " or "));
  }
  return "";
}

std::string options_help(const OptionSchema& schema) {
  const auto left = [](const OptionSpec& spec) { return spec.name + "=" + default_text(spec.default_value); };
  std::size_t width = 0;
  for (const OptionSpec& spec : schema.specs()) width = std::max(width, std::min<std::size_t>(28, left(spec).size()));
  std::string text;
  for (const OptionSpec& spec : schema.specs()) {
    text += fmt::format("  {:<{}}  {} ({})\n", left(spec), width, spec.help, allowed_values(spec));
  }
  return text;
}

nlohmann::json options_json(const OptionSchema& schema) {
  nlohmann::json all = nlohmann::json::array();
  for (const OptionSpec& spec : schema.specs()) {
    nlohmann::json option = {{"name", spec.name},
                             {"type", option_type_name(spec.type)},
                             {"default", spec.default_value},
                             {"help", spec.help}};
    if (std::isfinite(spec.minimum)) option["minimum"] = spec.minimum;
    if (std::isfinite(spec.maximum)) option["maximum"] = spec.maximum;
    if (!spec.choices.empty()) option["choices"] = spec.choices;
    if (spec.sets_state) option["sets_state"] = true;
    all.push_back(std::move(option));
  }
  return all;
}

}  // namespace zoo
