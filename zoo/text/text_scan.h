#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "zoo/text/prepare_state.h"

namespace zoo {

/// What is to be read, and how.
struct TextInput {
  std::vector<std::string> files;
  std::optional<std::string> separator = {};
  bool lossy = false;  ///< what is not valid UTF-8 is replaced by U+FFFD rather than refused
};

/// Told how many bytes have been read; throws what is to end the reading.
using ReadProgress = std::function<void(std::int64_t bytes)>;

/// Reads all of a text once. Throws UsageError naming the file, and for invalid UTF-8 the byte, when it cannot be used.
/// Returns a record with sources, documents and bytes.
PrepareRecord scan_text(const TextInput& input, const ReadProgress& progress);

/// Checks that a text is the one that was scanned, by content; files of unchanged path, size and time are not read
/// again. Returns the sources as they are now. Throws UsageError naming `folder` and what differs.
std::vector<TextSource> check_sources(const std::vector<TextSource>& scanned, const std::vector<std::string>& files,
                                      const std::string& folder, const ReadProgress& progress);

/// The sum of the sizes of files. Throws as TextFile.
std::int64_t total_size(const std::vector<std::string>& files);

}  // namespace zoo
