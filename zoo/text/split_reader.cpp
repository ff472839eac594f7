#include "zoo/text/split_reader.h"

#include <algorithm>
#include <cmath>

#include "zoo/core/error.h"
#include "zoo/text/utf8.h"

namespace zoo {

namespace {

std::function<void(std::size_t, const TextFile&, std::span<const char>)> check_unchanged(
    std::vector<TextSource> sources) {
  return [sources = std::move(sources)](std::size_t index, const TextFile& file, std::span<const char>) {
    if (file.size() == sources[index].size && file.changed() == sources[index].changed) return;
    throw Error("'{}' changed while the corpus was made of it; remove the corpus's folder and begin again",
                file.path());
  };
}

// Where a text is cut in two, neither empty, as near after `wanted` as a line end allows; `more` text follows it.
std::size_t cut_near(std::string_view text, std::size_t wanted, bool more) {
  const std::size_t after = text.find('\n', wanted - 1);
  if (after != std::string_view::npos && (more || after + 1 < text.size())) return after + 1;
  const std::size_t before = text.substr(0, wanted).rfind('\n');
  if (before != std::string_view::npos) return before + 1;
  const std::size_t space = text.substr(0, wanted + 1).rfind(' ');
  if (space != std::string_view::npos && space > 0) return space;
  const std::size_t character = character_boundary(text, wanted);
  return character > 0 ? character : text.size();
}

}  // namespace

bool is_split_within(const PrepareRecord& scanned, double validation) {
  return scanned.documents == 1 && validation > 0;
}

SplitReader::SplitReader(const TextInput& input, const PrepareRecord& scanned, Settings settings,
                         const TextPosition& begin)
    : lossy_(input.lossy),
      split_(settings.validation, settings.seed, scanned.documents),
      is_single_(is_split_within(scanned, settings.validation)),
      train_bytes_(std::clamp<std::int64_t>(
          static_cast<std::int64_t>(std::floor((1 - settings.validation) * static_cast<double>(scanned.bytes))),
          std::min<std::int64_t>(4, scanned.bytes), std::max<std::int64_t>(4, scanned.bytes - 4))),
      reader_(input.files,
              {.separator = input.separator,
               .piece_bytes = settings.piece_bytes,
               .observe = check_unchanged(std::move(settings.sources))},
              begin) {}

std::string SplitReader::text_of(std::string_view bytes) const {
  if (!lossy_) return std::string(bytes);
  std::string text;
  append_repaired_utf8(bytes, text);
  return text;
}

bool SplitReader::next(std::vector<SplitPiece>& pieces) {
  Piece piece;
  if (!reader_.next(piece)) return false;
  if (is_single_) {
    add_single(piece, pieces);
  } else {
    pieces.push_back({text_of(piece.bytes), split_.of(piece.begin.document), piece.ends_document});
  }
  return true;
}

void SplitReader::add_single(const Piece& piece, std::vector<SplitPiece>& pieces) const {
  const std::int64_t begin = piece.begin.document_bytes;
  const std::int64_t end = begin + std::ssize(piece.bytes);
  if (end <= train_bytes_) {
    pieces.push_back({text_of(piece.bytes), Split::train, end == train_bytes_});
    return;
  }
  std::size_t cut = 0;
  if (begin < train_bytes_) {
    cut = cut_near(piece.bytes, static_cast<std::size_t>(train_bytes_ - begin), !piece.ends_document);
    pieces.push_back({text_of(piece.bytes.substr(0, cut)), Split::train, true});
  }
  if (cut < piece.bytes.size()) {
    pieces.push_back({text_of(piece.bytes.substr(cut)), Split::validation, piece.ends_document});
  }
}

}  // namespace zoo
