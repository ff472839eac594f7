#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace zoo {

/// A regular file, read from an offset on in blocks.
class TextFile {
 public:
  /// Throws UsageError, naming the file and what to do, when it cannot be read or is a folder, a pipe or a device:
  /// text is read twice.
  explicit TextFile(const std::string& path);
  ~TextFile();
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;

  const std::string& path() const { return path_; }
  std::int64_t size() const { return size_; }
  /// When it was last changed, in nanoseconds since 1970; 0 if earlier.
  std::int64_t changed() const { return changed_; }

  /// Fills `block` with what begins at `offset`; less than its size only at the end of the file. Returns the bytes
  /// read. Throws Error naming the file when the system cannot read it.
  std::size_t read(std::int64_t offset, std::span<char> block) const;

 private:
  std::string path_;
  int descriptor_;
  std::int64_t size_ = 0;
  std::int64_t changed_ = 0;
};

}  // namespace zoo
