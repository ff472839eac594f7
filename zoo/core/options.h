#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace zoo {

/// What an option holds. `real_or_choice` is a number or one of the named choices (ttt's eta: "learned", or a number).
enum class OptionType { boolean, integer, real, text, choice, real_or_choice };

/// One option: its type, default, range and a line of help.
struct OptionSpec {
  std::string name;
  OptionType type = OptionType::integer;
  nlohmann::json default_value;
  double minimum = -std::numeric_limits<double>::infinity();
  double maximum = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices;
  std::string help;
  bool recorded_at_default = true;  ///< see OptionSchema::left_out_at_default()
  bool sets_state = false;          ///< see OptionSchema::sets_state()
};

/// Bounds of a number; both ends are allowed values.
struct Range {
  double minimum = -std::numeric_limits<double>::infinity();
  double maximum = std::numeric_limits<double>::infinity();
};

/// The options that a layer, task, backbone or feed-forward takes: drives the command line, the validation, the docs
/// and what a run records. Built by chaining, in the order in which help shows them.
class OptionSchema {
 public:
  OptionSchema& boolean(std::string name, bool default_value, std::string help);
  OptionSchema& integer(std::string name, std::int64_t default_value, Range range, std::string help);
  OptionSchema& real(std::string name, double default_value, Range range, std::string help);
  OptionSchema& text(std::string name, std::string default_value, std::string help);
  OptionSchema& choice(std::string name, std::string default_value, std::vector<std::string> choices, std::string help);
  OptionSchema& real_or_choice(std::string name, nlohmann::json default_value, std::vector<std::string> choices,
                               Range range, std::string help);

  /// Leaves the option added last out of what a run records while it holds its default: for an option that came after
  /// runs had been recorded, which stay equal to those without it.
  OptionSchema& left_out_at_default();

  /// Of a layer: marks the integer or real option added last as the one that sets how large the layer's state is at a
  /// given width; the state must grow with it. `zoo recall --match state=BYTES --d-model ...` chooses it.
  OptionSchema& sets_state();

  const std::vector<OptionSpec>& specs() const { return specs_; }
  /// The spec of that name, or nullptr.
  const OptionSpec* find(std::string_view name) const;

 private:
  OptionSchema& add(OptionSpec spec);
  std::vector<OptionSpec> specs_;
};

/// Validated values for every option of a schema: what was given, defaults for the rest.
class Options {
 public:
  Options() = default;
  /// Validates `given` (name to JSON value; text such as "2" or "true" is read as the option's type).
  /// Throws UsageError naming `owner` ("layer attention"), the option, the value, and what is allowed, with the
  /// nearest name for a typo.
  Options(const OptionSchema& schema, const nlohmann::json& given, std::string_view owner);

  bool boolean(std::string_view name) const;
  std::int64_t integer(std::string_view name) const;
  double real(std::string_view name) const;
  const std::string& text(std::string_view name) const;  ///< of text and choice options
  /// Whether a real_or_choice option holds a choice rather than a number.
  bool is_choice(std::string_view name) const;

  /// All values, defaults included but for those that are left out, keys sorted: what a run records.
  const nlohmann::json& json() const { return record_; }

 private:
  nlohmann::json values_ = nlohmann::json::object();
  nlohmann::json record_ = nlohmann::json::object();
};

/// Splits "k=v" pairs into the JSON object that Options takes. Throws UsageError for a text without "=", with an empty
/// name, or with a name given twice.
nlohmann::json parse_assignments(const std::vector<std::string>& assignments);

}  // namespace zoo
