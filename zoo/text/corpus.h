#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "zoo/core/task.h"
#include "zoo/text/tokenizer.h"

namespace zoo {

/// A text as `zoo lm prepare` leaves it: the tokens of all documents, one after another, each ended by the tokenizer's
/// end_of_document(), in memory-mapped shards; documents are of Split::train or of Split::validation as a whole.
class Corpus {
 public:
  /// Opens a folder. Throws UsageError, naming the file and what is wrong with it, for one that is not a corpus, is
  /// from a newer version, was not finished, or has a shard that is missing, truncated or damaged.
  explicit Corpus(const std::string& folder);
  ~Corpus();
  Corpus(Corpus&&) noexcept;
  Corpus& operator=(Corpus&&) noexcept;

  /// A digest (hexadecimal) of the tokenizer and of every token: two corpora with the same one train a model alike.
  const std::string& hash() const;
  const Tokenizer& tokenizer() const;

  /// Sizes of a split: tokens (ends of documents included), documents, and bytes of text (for bits per byte). Zero for
  /// Split::test.
  std::int64_t tokens(Split split) const;
  std::int64_t documents(Split split) const;
  std::int64_t bytes(Split split) const;

  /// Copies the tokens begin .. begin + out.size() - 1 of a split, which must be within it.
  /// Throws UsageError, naming the shard, for a token that is not of the vocabulary.
  void read(Split split, std::int64_t begin, std::span<std::int32_t> out) const;

  /// Reads all tokens and throws UsageError, naming the file, when they are not those that were written. Opening a
  /// corpus checks everything but that: its files, their lengths and headers.
  void verify() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace zoo
