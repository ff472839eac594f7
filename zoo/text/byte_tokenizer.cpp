#include "zoo/text/byte_tokenizer.h"

#include "zoo/core/error.h"
#include "zoo/text/tokenizer_file.h"

namespace zoo {

void ByteTokenizer::encode(std::string_view text, std::vector<std::int32_t>& tokens) const {
  for (const char byte : text) tokens.push_back(static_cast<unsigned char>(byte));
}

std::string ByteTokenizer::decode(std::span<const std::int32_t> tokens) const {
  std::string text;
  for (const std::int32_t token : tokens) {
    check_token(*this, token);
    if (token != end_of_document()) text.push_back(static_cast<char>(token));
  }
  return text;
}

void ByteTokenizer::save(const std::string& folder) const {
  write_tokenizer_file(folder, {{"type", "byte"}});
}

}  // namespace zoo
