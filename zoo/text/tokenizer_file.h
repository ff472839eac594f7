#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "zoo/text/tokenizer.h"

namespace zoo {

/// The files of a tokenizer in the folder that it was saved to.
inline constexpr const char* tokenizer_file_name = "tokenizer.json";
inline constexpr const char* tokenizer_model_name = "tokenizer.model";

/// Writes tokenizer.json: what `content` says, and the version of the format. Throws Error as AtomicFile.
void write_tokenizer_file(const std::string& folder, const nlohmann::json& content);

/// A digest (hexadecimal) of bytes: XXH3, 128 bits.
std::string digest(std::string_view bytes);

/// A digest of the tokenizer in a folder: of what it does to text, not of its name. Throws as load_tokenizer().
std::string tokenizer_digest(const std::string& folder);

/// Throws UsageError for a token that is not of the tokenizer's vocabulary.
void check_token(const Tokenizer& tokenizer, std::int32_t token);

}  // namespace zoo
