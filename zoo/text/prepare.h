#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/text/corpus_file.h"
#include "zoo/text/text_scan.h"

namespace zoo {

/// Of `zoo lm prepare`.
struct PrepareSettings {
  TextInput text;
  std::string tokenizer;     ///< "byte", "bpe:SIZE" or "sentencepiece:MODEL"
  std::string out;           ///< the corpus's folder
  double validation = 0.05;  ///< fraction of the documents, from 0 to below 1
  std::uint64_t seed = 0;    ///< of the split, and of the text that a tokenizer is trained on
  std::int64_t shard_tokens = std::int64_t{1} << 26;
  std::int64_t tokenizer_bytes = std::int64_t{1} << 25;  ///< of text that a tokenizer is trained on, at most
  std::string command = {};                              ///< for the record
  double save_seconds = 2;  ///< between notes of how far it is; 0: after each block of text
};

/// What the maker of a corpus is told as it goes on.
struct PrepareObserver {
  /// A line for the user.
  std::function<void(const std::string& line)> note = [](const std::string&) {};
  /// "reading" or "encoding", with the bytes of text that are done, of all.
  std::function<void(std::string_view stage, std::int64_t done, std::int64_t all)> progress =
      [](std::string_view, std::int64_t, std::int64_t) {};
  /// Asked between blocks of text: whether to save and stop.
  std::function<bool()> stop = [] { return false; };
};

enum class PrepareOutcome { made, was_there, stopped };

struct PrepareResult {
  PrepareOutcome outcome = PrepareOutcome::made;
  CorpusInfo info;  ///< unless it was stopped
};

/// Makes a corpus, or goes on with one that the same settings began. Throws UsageError for settings and text that
/// cannot be used, before anything is written, and for a folder that holds something else; Error when the system
/// refuses, after which the same settings go on.
PrepareResult prepare_corpus(const PrepareSettings& settings, const PrepareObserver& observer = {});

}  // namespace zoo
