#pragma once

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

namespace zoo {

/// A file that appears whole or not at all: what is written goes to a temporary file in the same folder, which commit()
/// brings to the disk (fsync) and renames to the path. Until then, and after any failure, the path holds what it held.
/// A symbolic link stays one: its target is replaced. A path that is not a regular file (a terminal, a pipe, a device)
/// cannot be replaced and is written directly.
class AtomicFile {
 public:
  /// Opens the temporary file, with the permissions of the file to be replaced if there is one. Throws Error naming the
  /// path when that cannot be done (no such folder, read-only, a folder of that name).
  explicit AtomicFile(const std::filesystem::path& path);
  /// Without commit(): removes the temporary file, and the path is as before.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends. Throws Error naming the path when the system refuses (a full disk).
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Makes all that was written the content of the path. Once; throws Error naming the path when the system refuses.
  void commit();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  std::filesystem::path path_;       // as given, for messages
  std::filesystem::path target_;     // with symbolic links followed
  std::filesystem::path temporary_;  // empty when the target is written directly, and after commit()
  std::unique_ptr<std::FILE, Close> file_;
};

/// The whole of a file at once, as an AtomicFile. Throws Error naming the path.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);
/// The same with the content written piece by piece; when `write` throws, the path is left as it was.
void write_file_atomically(const std::filesystem::path& path, const std::function<void(AtomicFile&)>& write);

}  // namespace zoo
