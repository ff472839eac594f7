#include "zoo/text/text_scan.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <memory>

#include "zoo/core/error.h"
#include "zoo/text/utf8.h"

namespace zoo {

namespace {

// XXH3 of bytes that come in blocks, 128 bits.
class Hasher {
 public:
  Hasher() : state_(XXH3_createState()) { XXH3_128bits_reset(state_.get()); }
  void update(std::span<const char> bytes) { XXH3_128bits_update(state_.get(), bytes.data(), bytes.size()); }
  std::string digest() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
    return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
  }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

std::string content_hash(const TextFile& file, std::int64_t& bytes_read, const ReadProgress& progress) {
  Hasher hasher;
  std::vector<char> block(std::size_t{1} << 20);
  for (std::int64_t offset = 0;;) {
    const std::size_t got = file.read(offset, block);
    hasher.update(std::span(block).first(got));
    offset += static_cast<std::int64_t>(got);
    bytes_read += static_cast<std::int64_t>(got);
    progress(bytes_read);
    if (got < block.size()) return hasher.digest();
  }
}

[[noreturn]] void reject_utf8(const std::string& path, std::int64_t offset, std::string_view rest) {
  std::string remedy = "convert it to UTF-8 (iconv does), or give --lossy to have what is invalid replaced by U+FFFD";
  if (offset == 0 && (rest.starts_with("\xFF\xFE") || rest.starts_with("\xFE\xFF"))) {
    remedy = fmt::format("it begins as UTF-16 does: iconv -f UTF-16 -t UTF-8 '{}' converts it", path);
  }
  throw UsageError("'{}' is not valid UTF-8 at byte {} (0x{:02X}); {}", path, offset,
                   static_cast<unsigned char>(rest.front()), remedy);
}

}  // namespace

std::int64_t total_size(const std::vector<std::string>& files) {
  std::int64_t total = 0;
  for (const std::string& path : files) total += TextFile(path).size();
  return total;
}

PrepareRecord scan_text(const TextInput& input, const ReadProgress& progress) {
  PrepareRecord record;
  auto hasher = std::make_unique<Hasher>();
  std::int64_t bytes_read = 0;
  const auto observe = [&](std::size_t, const TextFile& file, std::span<const char> block) {
    if (block.empty()) {
      record.sources.push_back({file.path(), file.size(), file.changed(), hasher->digest()});
      hasher = std::make_unique<Hasher>();
    }
    hasher->update(block);
    bytes_read += std::ssize(block);
    progress(bytes_read);
  };
  DocumentReader reader(input.files, {.separator = input.separator, .observe = observe});
  Piece piece;
  while (reader.next(piece)) {
    record.bytes += std::ssize(piece.bytes);
    if (input.lossy) continue;
    const std::size_t valid = valid_utf8_prefix(piece.bytes);
    if (valid == piece.bytes.size()) continue;
    reject_utf8(input.files[piece.begin.file], piece.begin.offset + static_cast<std::int64_t>(valid),
                piece.bytes.substr(valid));
  }
  record.documents = reader.position().document;
  return record;
}

std::vector<TextSource> check_sources(const std::vector<TextSource>& scanned, const std::vector<std::string>& files,
                                      const std::string& folder, const ReadProgress& progress) {
  constexpr const char* remedy = "; give another --out, or remove that folder";
  if (scanned.size() != files.size()) {
    throw UsageError("'{}' was begun with {} text files, and {} are given{}", folder, scanned.size(), files.size(),
                     remedy);
  }
  std::vector<TextSource> now;
  std::int64_t bytes_read = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const TextFile file(files[i]);
    const TextSource& before = scanned[i];
    if (file.size() != before.size) {
      throw UsageError("'{}' was begun when '{}' had {} bytes; '{}' has {}{}", folder, before.path, before.size,
                       files[i], file.size(), remedy);
    }
    const bool untouched = files[i] == before.path && file.changed() == before.changed;
    if (!untouched && content_hash(file, bytes_read, progress) != before.hash) {
      throw UsageError("'{}' was begun with another content of '{}' than that of '{}'{}", folder, before.path, files[i],
                       remedy);
    }
    now.push_back({files[i], file.size(), file.changed(), before.hash});
  }
  return now;
}

}  // namespace zoo
