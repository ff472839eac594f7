#include "zoo/text/shard_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "zoo/core/error.h"

namespace zoo {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t flush_bytes = std::size_t{1} << 20;

[[noreturn]] void fail(const fs::path& path, int error) {
  throw Error(
      "cannot write '{}': {}; what was done is kept, and zoo lm prepare with the same arguments goes on with it",
      path.string(), std::generic_category().message(error));
}

}  // namespace

// The file of the shard that is being written, and the hash of its tokens so far.
struct ShardWriter::OpenShard {
  OpenShard(const fs::path& file, int flags)
      : path(file), descriptor(::open(file.c_str(), O_RDWR | O_CLOEXEC | flags, 0666)), state(XXH3_createState()) {
    if (descriptor < 0) fail(path, errno);
    XXH3_64bits_reset(state);
  }
  ~OpenShard() {
    XXH3_freeState(state);
    ::close(descriptor);
  }
  OpenShard(const OpenShard&) = delete;
  OpenShard& operator=(const OpenShard&) = delete;

  // Adds tokens after those that the file has, in large parts: a document may be a few tokens.
  void append(std::span<const std::byte> bytes) {
    XXH3_64bits_update(state, bytes.data(), bytes.size());
    pending.insert(pending.end(), bytes.begin(), bytes.end());
    if (pending.size() >= flush_bytes) flush();
  }

  void flush() {
    write(length, pending);
    length += std::ssize(pending);
    pending.clear();
  }

  void write(std::int64_t offset, std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const ssize_t done = ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) fail(path, done < 0 ? errno : ENOSPC);
      bytes = bytes.subspan(static_cast<std::size_t>(done));
      offset += done;
    }
  }

  void write_header(const ShardHeader& header) const { write(0, std::as_bytes(std::span(&header, 1))); }

  void sync() {
    flush();
    if (::fsync(descriptor) != 0) fail(path, errno);
  }

  fs::path path;
  int descriptor;
  XXH3_state_t* state;
  std::int64_t length = sizeof(ShardHeader);  // of the file
  std::vector<std::byte> pending;             // what follows
};

ShardWriter::ShardWriter(std::string folder, Split split, std::uint32_t token_bytes, std::int64_t shard_tokens,
                         const SplitProgress& progress)
    : folder_(std::move(folder)),
      split_(split),
      token_bytes_(token_bytes),
      shard_tokens_(shard_tokens),
      progress_(progress) {
  restore();
}

ShardWriter::~ShardWriter() = default;
ShardWriter::ShardWriter(ShardWriter&& other) noexcept = default;

fs::path ShardWriter::final_path(std::size_t index) const {
  return fs::path(folder_) / shard_name(split_, index);
}

fs::path ShardWriter::part_path(std::size_t index) const {
  return final_path(index).string() + ".part";
}

// The shard that the progress knows as unfinished may have been finished since, and others begun after it.
void ShardWriter::restore() {
  const std::size_t current = progress_.info.shards.size();
  std::error_code error;
  if (progress_.unfinished > 0 && fs::exists(final_path(current), error)) {
    fs::rename(final_path(current), part_path(current), error);
    if (error) fail(part_path(current), error.value());
  }
  for (std::size_t index = progress_.unfinished > 0 ? current + 1 : current;; ++index) {
    const bool finished = fs::remove(final_path(index), error);
    const bool begun = fs::remove(part_path(index), error);
    if (!finished && !begun) break;
  }
  if (progress_.unfinished == 0) return;

  const fs::path path = part_path(current);
  struct stat status {};
  const std::int64_t length = std::int64_t{sizeof(ShardHeader)} + progress_.unfinished * token_bytes_;
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_size < length) {
    throw UsageError("'{}' is missing or has become shorter; remove the folder and make the corpus again",
                     path.string());
  }
  open_ = std::make_unique<OpenShard>(path, 0);
  if (::ftruncate(open_->descriptor, length) != 0) fail(path, errno);
  std::vector<char> block(std::size_t{1} << 20);
  for (std::int64_t at = sizeof(ShardHeader); at < length;) {
    const auto wanted = static_cast<std::size_t>(std::min(std::ssize(block), length - at));
    const ssize_t got = ::pread(open_->descriptor, block.data(), wanted, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw Error("cannot read '{}': {}", path.string(), std::generic_category().message(errno));
    XXH3_64bits_update(open_->state, block.data(), static_cast<std::size_t>(got));
    at += got;
  }
  open_->length = length;
}

void ShardWriter::append(std::span<const std::int32_t> tokens) {
  std::vector<std::byte> bytes;
  while (!tokens.empty()) {
    if (!open_) {
      open_ = std::make_unique<OpenShard>(part_path(progress_.info.shards.size()), O_CREAT | O_TRUNC);
      open_->write_header({});
    }
    const auto count =
        static_cast<std::size_t>(std::min<std::int64_t>(std::ssize(tokens), shard_tokens_ - progress_.unfinished));
    bytes.resize(count * token_bytes_);
    for (std::size_t i = 0; i < count; ++i) {
      // The low bytes of a little-endian number come first.
      std::memcpy(bytes.data() + i * token_bytes_, &tokens[i], token_bytes_);
    }
    open_->append(bytes);
    progress_.unfinished += static_cast<std::int64_t>(count);
    progress_.info.tokens += static_cast<std::int64_t>(count);
    tokens = tokens.subspan(count);
    if (progress_.unfinished == shard_tokens_) finish_shard();
  }
}

void ShardWriter::count(std::int64_t bytes, bool document_ended) {
  progress_.info.bytes += bytes;
  progress_.info.documents += document_ended ? 1 : 0;
}

void ShardWriter::sync() {
  if (open_) open_->sync();
}

void ShardWriter::finish() {
  if (open_) finish_shard();
}

void ShardWriter::finish_shard() {
  ShardHeader header;
  header.token_bytes = token_bytes_;
  header.tokens = static_cast<std::uint64_t>(progress_.unfinished);
  header.hash = XXH3_64bits_digest(open_->state);
  open_->write_header(header);
  open_->sync();
  open_.reset();
  const std::size_t index = progress_.info.shards.size();
  if (std::rename(part_path(index).c_str(), final_path(index).c_str()) != 0) fail(final_path(index), errno);
  progress_.info.shards.push_back({progress_.unfinished, header.hash});
  progress_.unfinished = 0;
}

}  // namespace zoo
