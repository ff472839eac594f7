#pragma once

#include "zoo/text/tokenizer.h"

namespace zoo {

/// A token a byte, and 256 for the end of a document.
class ByteTokenizer : public Tokenizer {
 public:
  std::string name() const override { return "byte"; }
  std::int64_t vocab_size() const override { return 257; }
  std::int32_t end_of_document() const override { return 256; }
  void encode(std::string_view text, std::vector<std::int32_t>& tokens) const override;
  std::string decode(std::span<const std::int32_t> tokens) const override;
  void save(const std::string& folder) const override;
};

}  // namespace zoo
