#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "zoo/text/document_split.h"
#include "zoo/text/documents.h"
#include "zoo/text/text_scan.h"

namespace zoo {

/// A piece of text for one of the splits.
struct SplitPiece {
  std::string text;  ///< valid UTF-8
  Split split = Split::train;
  bool ends_document = false;
};

/// Reads a text as pieces of its splits. A text of a single document is made two: its last `validation` fraction, from
/// the line end nearest after that on, is a document for validation.
class SplitReader {
 public:
  struct Settings {
    double validation = 0;
    std::uint64_t seed = 0;
    std::size_t piece_bytes = 64 * 1024;
    /// Throws Error when a file is not as it was when it was scanned.
    std::vector<TextSource> sources;
  };

  SplitReader(const TextInput& input, const PrepareRecord& scanned, Settings settings, const TextPosition& begin = {});

  /// Appends what the next piece of the documents is; false at the end.
  bool next(std::vector<SplitPiece>& pieces);
  /// From where a new reader goes on.
  const TextPosition& position() const { return reader_.position(); }

 private:
  std::string text_of(std::string_view bytes) const;
  void add_single(const Piece& piece, std::vector<SplitPiece>& pieces) const;

  bool lossy_;
  DocumentSplit split_;
  bool is_single_;
  std::int64_t train_bytes_;  // of a single document
  DocumentReader reader_;
};

/// Whether a text is a single document, which is split within.
bool is_split_within(const PrepareRecord& scanned, double validation);

/// Bytes of text for one document that is to be two.
inline constexpr std::int64_t least_single_bytes = 8;

}  // namespace zoo
