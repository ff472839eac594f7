#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/text/text_file.h"

namespace zoo {

/// A place between two pieces, from which reading can go on.
struct TextPosition {
  std::size_t file = 0;             ///< its place in the list
  std::int64_t offset = 0;          ///< bytes into it
  std::int64_t document = 0;        ///< documents that have ended
  std::int64_t document_bytes = 0;  ///< bytes of the one that has not

  bool operator==(const TextPosition&) const = default;
};

/// A part of a document that is encoded by itself.
struct Piece {
  std::string_view bytes;      ///< as they are in the file, until the next piece is read
  TextPosition begin;          ///< where it begins; `document` is its document's index
  bool ends_document = false;  ///< it is the document's last
};

/// Reads text files as documents, in pieces, in memory that depends on neither. A file is a document, or, with a
/// separator, what lies between the lines equal to it (which belong to none; a line may end in \n or \r\n). Documents
/// without a byte do not count.
///
/// Where a document is cut is a matter of its bytes alone, whatever the block size. While more than piece_bytes are
/// left of it, a cut is made within the next piece_bytes: after the last line end; without one, before the last space
/// that does not follow a space; without one, before a character. What is left then is its last piece.
class DocumentReader {
 public:
  struct Settings {
    std::optional<std::string> separator = {};
    std::size_t piece_bytes = std::size_t{64} * 1024;
    std::size_t block_bytes = std::size_t{1024} * 1024;
    /// Sees every file's bytes, from where reading began, in order and once; an empty block ends a file.
    std::function<void(std::size_t index, const TextFile& file, std::span<const char> block)> observe = {};
  };

  DocumentReader(std::vector<std::string> files, Settings settings, const TextPosition& begin = {});

  /// False at the end of the last file. Throws as TextFile.
  bool next(Piece& piece);
  /// Where the piece that next() returned last ends.
  const TextPosition& position() const { return position_; }

 private:
  void open();
  void fill(std::size_t wanted);
  std::string_view unread() const { return std::string_view(buffer_).substr(consumed_); }
  std::optional<std::size_t> find_separator(std::string_view text) const;
  std::size_t separator_line(std::string_view text) const;
  void consume(std::size_t bytes);

  std::vector<std::string> files_;
  Settings settings_;
  TextPosition position_;
  std::unique_ptr<TextFile> file_;
  std::string buffer_;  // of the file, from position_.offset - consumed_ on
  std::size_t consumed_ = 0;
  bool file_ended_ = false;    // the buffer reaches the end of the file
  bool at_line_begin_ = true;  // the unread bytes begin a line
};

}  // namespace zoo
