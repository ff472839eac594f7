#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "zoo/text/tokenizer.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace zoo {

/// Where a SentencePiece model comes from, and so what is expected of it.
enum class ModelOrigin {
  trained,  ///< by train_bpe(): any text comes back from its tokens byte for byte
  given,    ///< by the user: text is what its own normalisation makes of it
};

/// The pieces of a SentencePiece model (Kudo and Richardson 2018, "SentencePiece: A simple and language independent
/// subword tokenizer and detokenizer for neural text processing"). The end of a document is the model's </s>, or its
/// <s> if it has none.
class SentencePieceTokenizer : public Tokenizer {
 public:
  /// `model` is the content of a .model file; `name` as Tokenizer::name(). Throws UsageError, naming `source`, when it
  /// is no model or has no piece for the end of a document.
  SentencePieceTokenizer(std::string name, ModelOrigin origin, std::string model, const std::string& source);
  ~SentencePieceTokenizer() override;

  std::string name() const override { return name_; }
  std::int64_t vocab_size() const override;
  std::int32_t end_of_document() const override { return end_of_document_; }
  void encode(std::string_view text, std::vector<std::int32_t>& tokens) const override;
  /// Bytes that are no UTF-8, as where a character's tokens are not all there, are U+FFFD.
  std::string decode(std::span<const std::int32_t> tokens) const override;
  void save(const std::string& folder) const override;

  const std::string& model() const { return model_; }

 private:
  void encode_pieces(std::string_view text, std::vector<std::int32_t>& tokens) const;

  std::string name_;
  ModelOrigin origin_;
  std::string model_;
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  std::int32_t end_of_document_ = 0;
};

/// Reads the content of a model's file. Throws UsageError when it cannot be read.
std::string read_model(const std::string& path);

}  // namespace zoo
