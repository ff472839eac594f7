#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "zoo/core/options.h"

namespace zoo {

/// "boolean", "integer", "real", "text", "choice", "real or choice".
std::string_view option_type_name(OptionType type);

/// What an option may be, as messages and help say it: "a whole number from 1 to 64", "true or false".
std::string allowed_values(const OptionSpec& spec);

/// One line an option for `zoo layers NAME` and --help: "  heads=1   number of heads (a whole number of at least 1)".
/// Empty for a schema without options.
std::string options_help(const OptionSchema& schema);

/// [{"name", "type", "default", "help", and where there are such "minimum", "maximum", "choices"}], in the schema's
/// order.
nlohmann::json options_json(const OptionSchema& schema);

}  // namespace zoo
