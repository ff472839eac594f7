#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "zoo/text/documents.h"
#include "zoo/text/shard_writer.h"

namespace zoo {

inline constexpr const char* prepare_file_name = "prepare.json";
inline constexpr const char* progress_file_name = "progress.json";

/// A text file as it was when it was read first.
struct TextSource {
  std::string path;
  std::int64_t size = 0;
  std::int64_t changed = 0;  ///< nanoseconds since 1970
  std::string hash;          ///< XXH3, 128 bits, hexadecimal
};

/// What a corpus is made of: prepare.json, written when all text has been read once and found right.
struct PrepareRecord {
  std::string command;
  std::map<std::string, std::string> settings;  ///< by option
  std::vector<TextSource> sources;
  std::int64_t documents = 0;
  std::int64_t bytes = 0;  ///< in documents
};

void write_prepare_record(const std::string& folder, const PrepareRecord& record);
/// None when the folder has none. Throws UsageError when it is damaged.
std::optional<PrepareRecord> read_prepare_record(const std::string& folder);

/// How far it is: progress.json, written every few seconds and as shards are finished.
struct PrepareProgress {
  TextPosition position;
  std::array<SplitProgress, 2> splits;  ///< as in corpus_splits
};

void write_prepare_progress(const std::string& folder, const PrepareProgress& progress);
/// None when the folder has none. Throws UsageError when it is damaged.
std::optional<PrepareProgress> read_prepare_progress(const std::string& folder);

}  // namespace zoo
