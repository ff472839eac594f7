#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zoo {

/// Text to token ids and back. Ids are 0 .. vocab_size() - 1.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// What `zoo lm prepare --tokenizer` would be given: "byte", "bpe:4096", "sentencepiece:name.model".
  virtual std::string name() const = 0;
  virtual std::int64_t vocab_size() const = 0;
  /// The token that ends each document of a corpus.
  virtual std::int32_t end_of_document() const = 0;

  /// Appends the tokens of `text`, valid UTF-8, without an end of document.
  virtual void encode(std::string_view text, std::vector<std::int32_t>& tokens) const = 0;
  /// The text of tokens; an end of document is no text. Throws UsageError for an id out of range.
  virtual std::string decode(std::span<const std::int32_t> tokens) const = 0;

  /// Writes what load_tokenizer() needs into a folder: tokenizer.json, and the model's file where there is one.
  virtual void save(const std::string& folder) const = 0;
};

/// The tokenizer that save() put in a folder. Throws UsageError, naming the file, when it is missing or damaged.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& folder);

}  // namespace zoo
