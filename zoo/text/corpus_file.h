#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "zoo/text/json_file.h"
#include "zoo/text/shard.h"

namespace zoo {

inline constexpr const char* corpus_file_name = "corpus.json";

/// The splits of a corpus.
inline constexpr std::array<Split, 2> corpus_splits = {Split::train, Split::validation};

/// What corpus.json says of a split.
struct SplitInfo {
  std::int64_t tokens = 0;  ///< ends of documents included
  std::int64_t documents = 0;
  std::int64_t bytes = 0;  ///< of text
  std::vector<ShardInfo> shards;

  bool operator==(const SplitInfo&) const = default;
};

/// What corpus.json says.
struct CorpusInfo {
  std::string tokenizer;  ///< its name
  std::int64_t vocab_size = 0;
  std::string command;              ///< that made it
  std::array<SplitInfo, 2> splits;  ///< as in corpus_splits
  std::string hash;                 ///< Corpus::hash()

  bool operator==(const CorpusInfo&) const = default;
};

/// A split as it stands in a JSON file.
nlohmann::json split_json(Split split, const SplitInfo& info);
/// Reads split_json(). Throws UsageError, naming the file, unless `tokens` are those of the shards and `unfinished`
/// more.
SplitInfo parse_split_info(const JsonFile& file, Split split, std::int64_t unfinished = 0);

/// The hash of a corpus: of its tokenizer's digest, and of each shard's length and hash.
std::string corpus_hash(const std::string& tokenizer_digest, const CorpusInfo& info);

/// Writes corpus.json into a folder, atomically. Throws Error as AtomicFile.
void write_corpus_file(const std::string& folder, const CorpusInfo& info);

/// Reads it. Throws UsageError, naming the file, when it is missing, damaged, or from a newer version.
CorpusInfo read_corpus_file(const std::string& folder);

}  // namespace zoo
