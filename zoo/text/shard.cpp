#include "zoo/text/shard.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "zoo/core/error.h"

namespace zoo {

namespace {

static_assert(std::endian::native == std::endian::little, "tokens are little-endian and read as they are");

template <typename... Args>
[[noreturn]] void reject(const std::filesystem::path& path, fmt::format_string<Args...> problem, Args&&... args) {
  throw UsageError("'{}' is damaged: {}; make the corpus again, or copy it again", path.string(),
                   fmt::format(problem, std::forward<Args>(args)...));
}

class OpenFile {
 public:
  explicit OpenFile(const std::filesystem::path& path)
      : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (descriptor_ < 0) {
      throw UsageError("cannot read '{}': {}", path.string(), std::generic_category().message(errno));
    }
  }
  ~OpenFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int descriptor() const { return descriptor_; }
  int release() { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_;
};

// A mapping that is read beyond the end of its file would end the process.
void check_length(const std::filesystem::path& path, int descriptor, std::uint64_t wanted) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) reject(path, "it is not a regular file");
  const auto length = static_cast<std::uint64_t>(status.st_size);
  if (length != wanted) reject(path, "it has {} bytes and must have {}", length, wanted);
}

template <typename Token>
std::int64_t copy_tokens(const std::byte* from, std::span<std::int32_t> out) {
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    Token token;
    std::memcpy(&token, from + i * sizeof token, sizeof token);
    largest = std::max<std::uint32_t>(largest, token);
    out[i] = static_cast<std::int32_t>(token);
  }
  return largest;
}

}  // namespace

std::string shard_name(Split split, std::size_t index) {
  return fmt::format("{}-{:05}.tokens", split_name(split), index);
}

std::uint32_t token_bytes(std::int64_t vocab_size) {
  return vocab_size <= 65536 ? 2 : 4;
}

Shard::Shard(const std::filesystem::path& path, std::uint32_t token_bytes, const ShardInfo& expected) : path_(path) {
  OpenFile file(path);
  const std::uint64_t length = sizeof header_ + static_cast<std::uint64_t>(expected.tokens) * token_bytes;
  check_length(path, file.descriptor(), length);
  void* const mapped = ::mmap(nullptr, length, PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (mapped == MAP_FAILED) throw Error("cannot map '{}': {}", path.string(), std::generic_category().message(errno));
  mapped_ = mapped;
  mapped_bytes_ = length;
  std::memcpy(&header_, mapped_, sizeof header_);
  ShardHeader right;
  right.token_bytes = token_bytes;
  right.tokens = static_cast<std::uint64_t>(expected.tokens);
  right.hash = expected.hash;
  if (header_ == right) {
    descriptor_ = file.release();
    return;
  }
  ::munmap(mapped_, mapped_bytes_);
  if (header_.magic == right.magic && header_.version > right.version) {
    throw UsageError("'{}' has version {} of its format, and this zoo reads up to {}; use a newer zoo", path.string(),
                     header_.version, right.version);
  }
  reject(path, "its header is not that of this shard");
}

Shard::~Shard() {
  if (mapped_ == nullptr) return;
  ::munmap(mapped_, mapped_bytes_);
  ::close(descriptor_);
}

Shard::Shard(Shard&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      header_(other.header_),
      mapped_(std::exchange(other.mapped_, nullptr)),
      mapped_bytes_(other.mapped_bytes_) {}

Shard& Shard::operator=(Shard&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(header_, other.header_);
  std::swap(mapped_, other.mapped_);
  std::swap(mapped_bytes_, other.mapped_bytes_);
  return *this;
}

std::span<const std::byte> Shard::token_span() const {
  check_length(path_, descriptor_, mapped_bytes_);
  return std::span(static_cast<const std::byte*>(mapped_), mapped_bytes_).subspan(sizeof header_);
}

void Shard::read(std::int64_t begin, std::int64_t vocab_size, std::span<std::int32_t> out) const {
  if (begin < 0 || begin > tokens() || std::ssize(out) > tokens() - begin) {
    throw Error("tokens {} to {} of '{}' were asked for, which has {}", begin, begin + std::ssize(out), path_.string(),
                tokens());
  }
  const std::byte* const from = token_span().data() + static_cast<std::size_t>(begin) * header_.token_bytes;
  const std::int64_t largest =
      header_.token_bytes == 2 ? copy_tokens<std::uint16_t>(from, out) : copy_tokens<std::uint32_t>(from, out);
  if (largest >= vocab_size) reject(path_, "it has token {} of a vocabulary of {}", largest, vocab_size);
}

void Shard::verify() const {
  const std::span<const std::byte> bytes = token_span();
  if (XXH3_64bits(bytes.data(), bytes.size()) != header_.hash) reject(path_, "its tokens are not those it was made of");
}

}  // namespace zoo
