#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "zoo/text/corpus_file.h"

namespace zoo {

/// How far a split has been written.
struct SplitProgress {
  SplitInfo info;               ///< the shards that are finished; the counts are of all that was written
  std::int64_t unfinished = 0;  ///< tokens in the shard after them

  bool operator==(const SplitProgress&) const = default;
};

/// Writes the shards of one split. A shard is NAME.part until it is finished.
class ShardWriter {
 public:
  /// Goes on from `progress`, and undoes what was written after it. Throws UsageError when the folder holds less than
  /// that, Error when the system refuses.
  ShardWriter(std::string folder, Split split, std::uint32_t token_bytes, std::int64_t shard_tokens,
              const SplitProgress& progress);
  ~ShardWriter();
  ShardWriter(ShardWriter&& other) noexcept;

  /// Throws Error, as do the other members that write, when the system refuses (a full disk).
  void append(std::span<const std::int32_t> tokens);
  /// Counts bytes of text, and a document when one ended.
  void count(std::int64_t bytes, bool document_ended);
  /// Brings what was appended to the disk.
  void sync();
  /// Finishes the last shard.
  void finish();

  const SplitProgress& progress() const { return progress_; }

 private:
  struct OpenShard;

  std::filesystem::path final_path(std::size_t index) const;
  std::filesystem::path part_path(std::size_t index) const;
  void restore();
  void finish_shard();

  std::string folder_;
  Split split_;
  std::uint32_t token_bytes_;
  std::int64_t shard_tokens_;
  SplitProgress progress_;
  std::unique_ptr<OpenShard> open_;
};

}  // namespace zoo
