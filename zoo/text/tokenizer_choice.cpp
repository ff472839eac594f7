#include "zoo/text/tokenizer_choice.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "zoo/core/error.h"
#include "zoo/core/random.h"
#include "zoo/sweep/text.h"
#include "zoo/sweep/units.h"
#include "zoo/text/byte_tokenizer.h"
#include "zoo/text/sentencepiece_tokenizer.h"
#include "zoo/text/tokenizer_file.h"
#include "zoo/text/train_bpe.h"

namespace zoo {

namespace {

constexpr std::string_view bpe_prefix = "bpe:";
constexpr std::string_view model_prefix = "sentencepiece:";

// Of the text that a tokenizer is trained on: small, so that a sample of a long text is of many places.
constexpr std::size_t sample_piece_bytes = 4096;

void append_lines(std::string_view text, std::vector<std::string>& lines) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// Lines of the train split, all or drawn by the seed, of at most settings.tokenizer_bytes bytes.
std::vector<std::string> sample_lines(const PrepareSettings& settings, const PrepareRecord& scanned,
                                      SplitReader::Settings reading) {
  const double share = static_cast<double>(settings.tokenizer_bytes) / static_cast<double>(scanned.bytes);
  const RandomKey key = RandomKey::of(settings.seed, "zoo lm prepare/tokenizer");
  reading.piece_bytes = sample_piece_bytes;
  SplitReader reader(settings.text, scanned, reading);
  std::vector<std::string> lines;
  std::vector<SplitPiece> pieces;
  std::int64_t left = settings.tokenizer_bytes;
  for (std::uint64_t index = 0; reader.next(pieces); pieces.clear()) {
    for (const SplitPiece& piece : pieces) {
      if (piece.split != Split::train || RandomStream(key.fold(index++)).uniform() >= share) continue;
      left -= std::ssize(piece.text);
      if (left < 0) return lines;
      append_lines(piece.text, lines);
    }
  }
  return lines;
}

}  // namespace

TokenizerChoice::TokenizerChoice(const std::string& name) : name_(name) {
  if (name == "byte") {
    given_ = std::make_shared<ByteTokenizer>();
  } else if (name.starts_with(bpe_prefix)) {
    size_ = parse_integer("--tokenizer bpe:SIZE", name.substr(bpe_prefix.size()), least_bpe_size);
    if (*size_ > largest_bpe_size) {
      throw UsageError("--tokenizer is '{}'; SIZE must be at most {}", name, largest_bpe_size);
    }
    name_ = fmt::format("{}{}", bpe_prefix, *size_);
  } else if (name.starts_with(model_prefix)) {
    const std::filesystem::path path = name.substr(model_prefix.size());
    name_ = std::string(model_prefix) + path.filename().string();
    given_ =
        std::make_shared<SentencePieceTokenizer>(name_, ModelOrigin::given, read_model(path.string()), path.string());
  } else {
    throw UsageError(
        "--tokenizer is '{}'; it must be byte, bpe:SIZE (a size such as 8192) or sentencepiece:MODEL (a "
        "file)",
        name);
  }
}

std::string TokenizerChoice::record() const {
  const auto* const model = dynamic_cast<const SentencePieceTokenizer*>(given_.get());
  return model == nullptr ? name_ : name_ + " " + digest(model->model());
}

std::unique_ptr<Tokenizer> TokenizerChoice::make(const PrepareSettings& settings, const PrepareRecord& scanned,
                                                 const SplitReader::Settings& reading,
                                                 const PrepareObserver& observer) const {
  if (!std::filesystem::exists(settings.out + "/" + tokenizer_file_name)) {
    if (given_) {
      given_->save(settings.out);
    } else {
      const std::vector<std::string> lines = sample_lines(settings, scanned, reading);
      std::int64_t bytes = 0;
      for (const std::string& line : lines) bytes += std::ssize(line);
      observer.note(fmt::format("training {} on {} of the text", name_, human_bytes(bytes)));
      SentencePieceTokenizer(name_, ModelOrigin::trained, train_bpe(*size_, lines), name_).save(settings.out);
    }
  }
  return load_tokenizer(settings.out);
}

}  // namespace zoo
