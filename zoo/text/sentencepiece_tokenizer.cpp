#include "zoo/text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include "zoo/core/error.h"
#include "zoo/io/atomic_file.h"
#include "zoo/text/json_file.h"
#include "zoo/text/tokenizer_file.h"

namespace zoo {

namespace {

constexpr std::int64_t largest_model = std::int64_t{1} << 30;

// SentencePiece writes a space as this character (U+2581), and so reads the character as a space.
constexpr std::string_view space_symbol = "\xE2\x96\x81";

}  // namespace

std::string read_model(const std::string& path) {
  return read_small_file(path, largest_model);
}

SentencePieceTokenizer::SentencePieceTokenizer(std::string name, ModelOrigin origin, std::string model,
                                               const std::string& source)
    : name_(std::move(name)),
      origin_(origin),
      model_(std::move(model)),
      processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {
  if (model_.empty() || !processor_->LoadFromSerializedProto(model_).ok() || processor_->GetPieceSize() < 1) {
    throw UsageError("'{}' is not a SentencePiece model", source);
  }
  for (const int id : {processor_->eos_id(), processor_->bos_id()}) {
    if (id < 0 || !processor_->IsControl(id)) continue;
    end_of_document_ = id;
    return;
  }
  throw UsageError(
      "the SentencePiece model '{}' has neither </s> nor <s>, one of which is to end a document; train it "
      "with --eos_id",
      source);
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

std::int64_t SentencePieceTokenizer::vocab_size() const {
  return processor_->GetPieceSize();
}

void SentencePieceTokenizer::encode_pieces(std::string_view text, std::vector<std::int32_t>& tokens) const {
  if (text.empty()) return;
  std::vector<int> ids;
  const sentencepiece::util::Status status = processor_->Encode(text, &ids);
  if (!status.ok()) throw Error("SentencePiece cannot encode {} bytes of text: {}", text.size(), status.ToString());
  tokens.insert(tokens.end(), ids.begin(), ids.end());
}

void SentencePieceTokenizer::encode(std::string_view text, std::vector<std::int32_t>& tokens) const {
  if (origin_ == ModelOrigin::trained) {
    for (;;) {
      const std::size_t symbol = text.find(space_symbol);
      if (symbol == std::string_view::npos) break;
      encode_pieces(text.substr(0, symbol), tokens);
      for (const char byte : space_symbol) {
        tokens.push_back(processor_->PieceToId(fmt::format("<0x{:02X}>", static_cast<unsigned char>(byte))));
      }
      text.remove_prefix(symbol + space_symbol.size());
    }
  }
  encode_pieces(text, tokens);
}

std::string SentencePieceTokenizer::decode(std::span<const std::int32_t> tokens) const {
  std::string text;
  std::vector<int> ids;
  // Documents apart: a model may take the first space of a text for its own.
  const auto flush = [&] {
    std::string part;
    if (const auto status = processor_->Decode(ids, &part); !status.ok()) {
      throw Error("SentencePiece cannot decode {} tokens: {}", ids.size(), status.ToString());
    }
    text += part;
    ids.clear();
  };
  for (const std::int32_t token : tokens) {
    check_token(*this, token);
    if (token == end_of_document_) {
      flush();
    } else {
      ids.push_back(token);
    }
  }
  flush();
  return text;
}

void SentencePieceTokenizer::save(const std::string& folder) const {
  write_file_atomically(folder + "/" + tokenizer_model_name, model_);
  write_tokenizer_file(folder, {{"type", origin_ == ModelOrigin::trained ? "bpe" : "sentencepiece"},
                                {"name", name_},
                                {"model", tokenizer_model_name},
                                {"model_hash", digest(model_)}});
}

}  // namespace zoo
