#include "zoo/text/utf8.h"

#include <utf8.h>

#include <cstdint>
#include <cstring>
#include <iterator>

namespace zoo {

namespace {

bool is_ascii(char byte) {
  return static_cast<unsigned char>(byte) < 0x80;
}

// Most text is long runs of ASCII, which eight bytes at a time need not be decoded.
std::size_t skip_ascii(std::string_view text, std::size_t at) {
  constexpr std::uint64_t high_bits = 0x8080808080808080;
  for (std::uint64_t word = 0; at + sizeof word <= text.size(); at += sizeof word) {
    std::memcpy(&word, text.data() + at, sizeof word);
    if ((word & high_bits) != 0) break;
  }
  while (at < text.size() && is_ascii(text[at])) ++at;
  return at;
}

}  // namespace

std::size_t valid_utf8_prefix(std::string_view text) {
  // An ASCII byte is never part of a longer sequence, so runs without one are valid or not by themselves.
  for (std::size_t begin = skip_ascii(text, 0); begin < text.size();) {
    std::size_t end = begin;
    while (end < text.size() && !is_ascii(text[end])) ++end;
    const char* const last = text.data() + end;
    const char* const invalid = utf8::find_invalid(text.data() + begin, last);
    if (invalid != last) return static_cast<std::size_t>(invalid - text.data());
    begin = skip_ascii(text, end);
  }
  return text.size();
}

void append_repaired_utf8(std::string_view text, std::string& to) {
  const std::size_t valid = valid_utf8_prefix(text);
  to.append(text.substr(0, valid));
  utf8::replace_invalid(text.begin() + static_cast<std::ptrdiff_t>(valid), text.end(), std::back_inserter(to));
}

std::size_t character_boundary(std::string_view text, std::size_t limit) {
  if (limit >= text.size()) return text.size();
  const auto continues = [&](std::size_t at) { return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80; };
  std::size_t boundary = limit;
  while (boundary > 0 && limit - boundary < 3 && continues(boundary)) --boundary;
  // More continuation bytes than a character has: no text, and as well cut here as anywhere.
  return continues(boundary) || boundary == 0 ? limit : boundary;
}

}  // namespace zoo
