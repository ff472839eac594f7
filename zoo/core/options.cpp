#include "zoo/core/options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "zoo/core/error.h"
#include "zoo/core/options_describe.h"

namespace zoo {

namespace {

constexpr double no_limit = std::numeric_limits<double>::infinity();

/// The number that the whole text is, as in "2" or "1e-3"; "nan" and "inf" are read too, and refused by their value.
template <typename Number>
std::optional<Number> parse_number(const std::string& text) {
  Number number{};
  const char* end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, number);
  if (failure != std::errc{} || stop != end) return std::nullopt;
  return number;
}

std::optional<double> read_real(const nlohmann::json& value) {
  std::optional<double> number;
  if (value.is_string()) number = parse_number<double>(value.get_ref<const std::string&>());
  if (value.is_number()) number = value.get<double>();
  if (number && !std::isfinite(*number)) return std::nullopt;
  if (number) *number += 0.0;  // -0 becomes 0, so that equal settings are recorded alike
  return number;
}

std::optional<std::int64_t> read_integer(const nlohmann::json& value) {
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()) return {};
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_string()) {
    if (const auto number = parse_number<std::int64_t>(value.get_ref<const std::string&>())) return number;
  }
  // Whole numbers may also be written as 1e5; beyond 2^53 a double no longer tells them apart.
  const std::optional<double> number = read_real(value);
  if (!number || *number != std::floor(*number) || std::abs(*number) > 0x1p53) return std::nullopt;
  return static_cast<std::int64_t>(*number);
}

std::optional<bool> read_boolean(const nlohmann::json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value == "true") return true;
  if (value == "false") return false;
  return std::nullopt;
}

bool is_one_of(const nlohmann::json& value, const std::vector<std::string>& choices) {
  return value.is_string() && std::ranges::find(choices, value.get_ref<const std::string&>()) != choices.end();
}

template <typename Number>
nlohmann::json in_range(const OptionSpec& spec, const std::optional<Number>& number) {
  if (!number || static_cast<double>(*number) < spec.minimum || static_cast<double>(*number) > spec.maximum) return {};
  return *number;
}

/// The value as the option's type, or null when it cannot be that.
nlohmann::json read_value(const OptionSpec& spec, const nlohmann::json& value) {
  switch (spec.type) {
    case OptionType::boolean:
      if (const auto flag = read_boolean(value)) return *flag;
      return {};
    case OptionType::integer:
      return in_range(spec, read_integer(value));
    case OptionType::real:
      return in_range(spec, read_real(value));
    case OptionType::text:
      return value.is_string() ? value : nlohmann::json();
    case OptionType::choice:
      return is_one_of(value, spec.choices) ? value : nlohmann::json();
    case OptionType::real_or_choice:
      return is_one_of(value, spec.choices) ? value : in_range(spec, read_real(value));
  }
  return {};
}

std::string shown(const nlohmann::json& value) {
  constexpr std::size_t longest = 100;
  std::string text = value.is_string() ? value.get<std::string>()
                                       : value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > longest) text = text.substr(0, longest) + "...";
  return text;
}

[[noreturn]] void refuse_value(const OptionSpec& spec, const nlohmann::json& value, std::string_view owner) {
  std::string hint;
  if (value.is_string()) {
    const std::string nearest = nearest_name(value.get_ref<const std::string&>(), spec.choices);
    if (!nearest.empty()) hint = fmt::format("; did you mean '{}'?", nearest);
  }
  throw UsageError("{}: option {} is '{}'{}{} must be {}", owner, spec.name, shown(value), hint,
                   hint.empty() ? "; it" : " It", allowed_values(spec));
}

[[noreturn]] void refuse_name(const OptionSchema& schema, const std::string& name, std::string_view owner) {
  if (schema.specs().empty()) throw UsageError("{}: unknown option '{}'; it has no options", owner, name);
  std::vector<std::string> names;
  for (const OptionSpec& spec : schema.specs()) names.push_back(spec.name);
  std::string message = fmt::format("{}: unknown option '{}'", owner, name);
  if (const std::string nearest = nearest_name(name, names); !nearest.empty()) {
    message += fmt::format("; did you mean '{}'?", nearest);
  }
  throw UsageError("{}\nIts options are:\n{}", message, options_help(schema));
}

}  // namespace

OptionSchema& OptionSchema::add(OptionSpec spec) {
  const auto allowed = [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '_';
  };
  if (spec.name.empty() || !std::ranges::all_of(spec.name, allowed)) {
    throw Error("'{}' cannot be an option's name: only a-z, 0-9 and _ are allowed", spec.name);
  }
  if (find(spec.name) != nullptr) throw Error("option '{}' is declared twice", spec.name);
  const nlohmann::json value = read_value(spec, spec.default_value);
  if (value.is_null()) {
    throw Error("the default of option '{}' is {}; it must be {}", spec.name, spec.default_value.dump(),
                allowed_values(spec));
  }
  spec.default_value = value;
  specs_.push_back(std::move(spec));
  return *this;
}

OptionSchema& OptionSchema::boolean(std::string name, bool default_value, std::string help) {
  return add({std::move(name), OptionType::boolean, default_value, -no_limit, no_limit, {}, std::move(help)});
}

OptionSchema& OptionSchema::integer(std::string name, std::int64_t default_value, Range range, std::string help) {
  return add({std::move(name), OptionType::integer, default_value, range.minimum, range.maximum, {}, std::move(help)});
}

OptionSchema& OptionSchema::real(std::string name, double default_value, Range range, std::string help) {
  return add({std::move(name), OptionType::real, default_value, range.minimum, range.maximum, {}, std::move(help)});
}

OptionSchema& OptionSchema::text(std::string name, std::string default_value, std::string help) {
  return add({std::move(name), OptionType::text, std::move(default_value), -no_limit, no_limit, {}, std::move(help)});
}

OptionSchema& OptionSchema::choice(std::string name, std::string default_value, std::vector<std::string> choices,
                                   std::string help) {
  return add({std::move(name), OptionType::choice, std::move(default_value), -no_limit, no_limit, std::move(choices),
              std::move(help)});
}

OptionSchema& OptionSchema::real_or_choice(std::string name, nlohmann::json default_value,
                                           std::vector<std::string> choices, Range range, std::string help) {
  return add({std::move(name), OptionType::real_or_choice, std::move(default_value), range.minimum, range.maximum,
              std::move(choices), std::move(help)});
}

OptionSchema& OptionSchema::left_out_at_default() {
  if (specs_.empty()) throw Error("there is no option yet that could be left out of a record");
  specs_.back().recorded_at_default = false;
  return *this;
}

OptionSchema& OptionSchema::sets_state() {
  if (specs_.empty() || (specs_.back().type != OptionType::integer && specs_.back().type != OptionType::real)) {
    throw Error("only an integer or a real option sets how large a state is");
  }
  specs_.back().sets_state = true;
  return *this;
}

const OptionSpec* OptionSchema::find(std::string_view name) const {
  const auto at = std::ranges::find_if(specs_, [&](const OptionSpec& spec) { return spec.name == name; });
  return at == specs_.end() ? nullptr : &*at;
}

Options::Options(const OptionSchema& schema, const nlohmann::json& given, std::string_view owner) {
  if (!given.is_object() && !given.is_null()) {
    throw UsageError("{}: the options are {}; they must be names with values, as in {{\"name\": value}}", owner,
                     shown(given));
  }
  for (const auto& [name, value] : given.items()) {
    if (schema.find(name) == nullptr) refuse_name(schema, name, owner);
  }
  for (const OptionSpec& spec : schema.specs()) {
    const auto at = given.find(spec.name);
    const nlohmann::json value = at == given.end() ? spec.default_value : read_value(spec, *at);
    if (value.is_null()) refuse_value(spec, *at, owner);
    values_[spec.name] = value;
    if (spec.recorded_at_default || value != spec.default_value) record_[spec.name] = value;
  }
}

namespace {

/// The value of that name, of a type that `is` accepts: asking for another is a mistake in the code of the owner.
template <typename Is>
const nlohmann::json& checked(const nlohmann::json& values, std::string_view name, const char* type, const Is& is) {
  const auto at = values.find(std::string(name));
  if (at == values.end()) throw Error("option '{}' was asked for, but is not in the schema", name);
  if (!is(*at)) throw Error("option '{}' was asked for as {}, but holds {}", name, type, at->dump());
  return *at;
}

}  // namespace

bool Options::boolean(std::string_view name) const {
  return checked(values_, name, "a boolean", [](const auto& value) { return value.is_boolean(); }).template get<bool>();
}

std::int64_t Options::integer(std::string_view name) const {
  return checked(values_, name, "an integer", [](const auto& value) { return value.is_number_integer(); })
      .template get<std::int64_t>();
}

double Options::real(std::string_view name) const {
  return checked(values_, name, "a real number", [](const auto& value) { return value.is_number_float(); })
      .template get<double>();
}

const std::string& Options::text(std::string_view name) const {
  return checked(values_, name, "text", [](const auto& value) { return value.is_string(); })
      .template get_ref<const std::string&>();
}

bool Options::is_choice(std::string_view name) const {
  return checked(values_, name, "a value", [](const auto&) { return true; }).is_string();
}

nlohmann::json parse_assignments(const std::vector<std::string>& assignments) {
  nlohmann::json given = nlohmann::json::object();
  for (const std::string& assignment : assignments) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw UsageError("'{}' is not an option with a value; write name=value", assignment);
    }
    const std::string name = assignment.substr(0, equals);
    if (given.contains(name)) throw UsageError("option '{}' is given twice: '{}'", name, assignment);
    given[name] = assignment.substr(equals + 1);
  }
  return given;
}

}  // namespace zoo
