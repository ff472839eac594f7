#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace zoo {

/// Where valid UTF-8 (Unicode 15, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF) ends: the offset
/// of the first sequence that is not, or text.size().
std::size_t valid_utf8_prefix(std::string_view text);

/// Appends `text` with each sequence that is not valid UTF-8 replaced by U+FFFD.
void append_repaired_utf8(std::string_view text, std::string& to);

/// At most `limit`, and less by up to three bytes where a character would be cut there.
std::size_t character_boundary(std::string_view text, std::size_t limit);

}  // namespace zoo
