#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "zoo/core/task.h"

namespace zoo {

/// What a shard's file begins with, little-endian, before its tokens.
struct ShardHeader {
  std::array<char, 8> magic = {'Z', 'O', 'O', 'T', 'O', 'K', 'E', 'N'};
  std::uint32_t version = 1;
  std::uint32_t token_bytes = 2;  ///< 2 or 4: a token is a little-endian unsigned number of as many bytes
  std::uint64_t tokens = 0;
  std::uint64_t hash = 0;  ///< XXH3, 64 bits, of all bytes after the header
  std::array<char, 32> reserved = {};

  bool operator==(const ShardHeader&) const = default;
};
static_assert(sizeof(ShardHeader) == 64);

/// A shard in the list of its corpus.
struct ShardInfo {
  std::int64_t tokens = 0;
  std::uint64_t hash = 0;

  bool operator==(const ShardInfo&) const = default;
};

/// "train-00000.tokens".
std::string shard_name(Split split, std::size_t index);

/// Bytes of a token that hold every id of a vocabulary: 2 up to 65,536 ids, 4 above.
std::uint32_t token_bytes(std::int64_t vocab_size);

/// The tokens of one shard, mapped into memory.
class Shard {
 public:
  /// Opens a file that must have `expected` in its header and the length that follows from it, which is all that is
  /// checked: see verify(). Throws UsageError naming the file otherwise.
  Shard(const std::filesystem::path& path, std::uint32_t token_bytes, const ShardInfo& expected);
  ~Shard();
  Shard(Shard&& other) noexcept;
  Shard& operator=(Shard&& other) noexcept;

  std::int64_t tokens() const { return static_cast<std::int64_t>(header_.tokens); }
  /// Copies tokens begin .. begin + out.size() - 1. Throws UsageError naming the file for one that is not below
  /// `vocab_size`, and when the file has another length by now than it was opened with.
  void read(std::int64_t begin, std::int64_t vocab_size, std::span<std::int32_t> out) const;
  /// Throws UsageError naming the file when its tokens do not have the header's hash. Reads all of it.
  void verify() const;

 private:
  // The bytes after the header. Throws UsageError when the file's length has changed.
  std::span<const std::byte> token_span() const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  ShardHeader header_;
  void* mapped_ = nullptr;
  std::size_t mapped_bytes_ = 0;
};

}  // namespace zoo
