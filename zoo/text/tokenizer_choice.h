#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "zoo/text/prepare.h"
#include "zoo/text/split_reader.h"
#include "zoo/text/tokenizer.h"

namespace zoo {

/// The tokenizer that `zoo lm prepare --tokenizer` names.
class TokenizerChoice {
 public:
  /// Throws UsageError for what is none, with what may be given; for a model of SentencePiece that cannot be used.
  explicit TokenizerChoice(const std::string& name);

  /// What tells it from others: its name, and of a model the digest.
  std::string record() const;
  bool is_trained() const { return size_.has_value(); }

  /// The tokenizer, saved in the corpus's folder: from there when it has been before.
  std::unique_ptr<Tokenizer> make(const PrepareSettings& settings, const PrepareRecord& scanned,
                                  const SplitReader::Settings& reading, const PrepareObserver& observer) const;

 private:
  std::string name_;
  std::optional<std::int64_t> size_;  // of bpe
  std::shared_ptr<const Tokenizer> given_;
};

}  // namespace zoo
