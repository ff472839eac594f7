#include "zoo/text/documents.h"

#include <algorithm>

#include "zoo/text/utf8.h"

namespace zoo {

namespace {

// Where the first piece of a text longer than `limit` ends: at most there, and after at least one byte.
std::size_t cut(std::string_view text, std::size_t limit) {
  const std::string_view window = text.substr(0, limit);
  if (const std::size_t line_end = window.rfind('\n'); line_end != std::string_view::npos) return line_end + 1;
  for (std::size_t at = limit - 1; at > 0; --at) {
    if (window[at] == ' ' && window[at - 1] != ' ') return at;
  }
  return character_boundary(text, limit);
}

}  // namespace

DocumentReader::DocumentReader(std::vector<std::string> files, Settings settings, const TextPosition& begin)
    : files_(std::move(files)), settings_(std::move(settings)), position_(begin) {
  if (position_.file >= files_.size()) return;
  open();
  char before = '\n';
  if (position_.offset > 0) file_->read(position_.offset - 1, {&before, 1});
  at_line_begin_ = before == '\n';
}

void DocumentReader::open() {
  file_ = std::make_unique<TextFile>(files_[position_.file]);
  buffer_.clear();
  consumed_ = 0;
  file_ended_ = false;
  at_line_begin_ = true;
}

void DocumentReader::fill(std::size_t wanted) {
  while (!file_ended_ && unread().size() < wanted) {
    buffer_.erase(0, consumed_);
    consumed_ = 0;
    const std::size_t held = buffer_.size();
    const std::int64_t offset = position_.offset + static_cast<std::int64_t>(held);
    buffer_.resize(held + settings_.block_bytes);
    const std::size_t got = file_->read(offset, std::span(buffer_).subspan(held));
    buffer_.resize(held + got);
    file_ended_ = got < settings_.block_bytes;
    if (settings_.observe) {
      if (got > 0) settings_.observe(position_.file, *file_, std::span(buffer_).subspan(held));
      if (file_ended_) settings_.observe(position_.file, *file_, {});
    }
  }
}

// The bytes of the separator's line when the text begins with one, otherwise 0.
std::size_t DocumentReader::separator_line(std::string_view text) const {
  if (!text.starts_with(*settings_.separator)) return 0;
  const std::size_t length = settings_.separator->size();
  const std::string_view rest = text.substr(length, 2);
  if (rest.starts_with('\n')) return length + 1;
  if (rest == "\r\n") return length + 2;
  return rest.empty() || rest == "\r" ? text.size() : 0;
}

// Where the first separator's line begins.
std::optional<std::size_t> DocumentReader::find_separator(std::string_view text) const {
  std::size_t line = 0;
  if (!at_line_begin_) line = std::min(text.find('\n'), text.size() - 1) + 1;
  while (line < text.size()) {
    if (separator_line(text.substr(line)) > 0) return line;
    const std::size_t end = text.find('\n', line);
    if (end == std::string_view::npos) break;
    line = end + 1;
  }
  return std::nullopt;
}

void DocumentReader::consume(std::size_t bytes) {
  if (bytes == 0) return;
  at_line_begin_ = unread()[bytes - 1] == '\n';
  consumed_ += bytes;
  position_.offset += static_cast<std::int64_t>(bytes);
}

bool DocumentReader::next(Piece& piece) {
  const std::size_t limit = settings_.piece_bytes;
  // Enough to see whether the byte after the longest piece begins a separator's line.
  const std::size_t wanted = limit + 1 + (settings_.separator ? settings_.separator->size() + 2 : 0);
  for (;;) {
    if (position_.file >= files_.size()) return false;
    fill(wanted);
    const std::string_view text = unread();
    if (text.empty()) {
      ++position_.file;
      position_.offset = 0;
      file_.reset();
      if (position_.file < files_.size()) open();
      continue;
    }
    // What stands beyond `wanted` must not be seen: how much that is depends on the block size.
    const std::string_view window = text.substr(0, wanted);
    std::optional<std::size_t> separator;
    if (settings_.separator) separator = find_separator(window);
    std::size_t end = 0;
    if (separator && *separator <= limit) {
      piece.ends_document = true;
      end = *separator;
    } else if (window.size() <= limit) {
      piece.ends_document = true;
      end = window.size();
    } else {
      piece.ends_document = false;
      end = cut(window, limit);
    }
    const std::size_t separator_bytes = separator && piece.ends_document ? separator_line(text.substr(end)) : 0;
    piece.bytes = text.substr(0, end);
    piece.begin = position_;
    consume(end);
    consume(separator_bytes);
    if (end == 0) continue;
    position_.document_bytes += static_cast<std::int64_t>(end);
    if (piece.ends_document) {
      position_.document += 1;
      position_.document_bytes = 0;
    }
    return true;
  }
}

}  // namespace zoo
