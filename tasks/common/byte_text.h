#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace zoo::tasks {

/// Texts read byte by byte: a token is a byte + 1, and 0 is padding.
inline constexpr std::int32_t byte_padding = 0;
inline constexpr std::int64_t byte_vocabulary = 1 + 256;

inline std::int32_t byte_token(std::uint8_t byte) {
  return 1 + std::int32_t{byte};
}

/// The text of tokens, padding left out, with ? in place of control characters.
inline std::string readable_bytes(std::span<const std::int32_t> tokens) {
  std::string text;
  for (const std::int32_t token : tokens) {
    if (token != byte_padding) text += token < byte_token(' ') ? '?' : static_cast<char>(token - 1);
  }
  return text;
}

}  // namespace zoo::tasks
