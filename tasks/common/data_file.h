#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace zoo {

/// Where a task's files are expected, for reading and for what to tell when one is not there.
struct DataSource {
  std::string task;
  std::filesystem::path folder;  ///< the task's option data_dir
  std::string expected;          ///< the names of the files in it
  std::string address;           ///< where to get them

  /// What every message about missing or broken files ends with.
  std::string advice() const;
};

/// A file of the user's, open for reading at any place, from several threads at once.
class DataFile {
 public:
  /// Throws UsageError naming the file, what is expected in the folder and where to get it when there is none.
  DataFile(const DataSource& source, const std::string& name);
  ~DataFile();
  DataFile(DataFile&& other) noexcept;
  DataFile(const DataFile&) = delete;
  DataFile& operator=(const DataFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  /// Throws UsageError that names both sizes when the file has not `expected` bytes; `what` says why it should.
  void check_size(std::uint64_t expected, const std::string& what) const;
  /// Fills `bytes` from `offset` on. Throws Error naming the file when it ends before (it has changed) or cannot be
  /// read.
  void read(std::uint64_t offset, std::span<std::uint8_t> bytes) const;

 private:
  std::string task_, advice_;
  std::filesystem::path path_;
  std::uint64_t size_ = 0;
  int descriptor_ = -1;
};

}  // namespace zoo
