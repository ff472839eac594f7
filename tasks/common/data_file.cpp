#include "tasks/common/data_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "zoo/core/error.h"

namespace zoo {

std::string DataSource::advice() const {
  return fmt::format("data_dir must hold {}, unpacked; get them from {}, or name another folder with data_dir=FOLDER",
                     expected, address);
}

DataFile::DataFile(const DataSource& source, const std::string& name)
    : task_(source.task), advice_(source.advice()), path_(source.folder / name) {
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  const bool found = descriptor_ >= 0 && ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
  if (found) {
    size_ = static_cast<std::uint64_t>(status.st_size);
    return;
  }
  const std::string reason = descriptor_ >= 0 ? "it is not a file" : std::strerror(errno);
  if (descriptor_ >= 0) ::close(descriptor_);
  std::error_code ignored;
  const std::string packed = path_.string() + ".gz";
  if (std::filesystem::exists(packed, ignored)) {
    throw UsageError("task {}: cannot read '{}': {}; it is there packed: unpack it with  gunzip -k '{}'", task_,
                     path_.string(), reason, packed);
  }
  throw UsageError("task {}: cannot read '{}': {}; {}", task_, path_.string(), reason, advice_);
}

DataFile::~DataFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

DataFile::DataFile(DataFile&& other) noexcept
    : task_(std::move(other.task_)),
      advice_(std::move(other.advice_)),
      path_(std::move(other.path_)),
      size_(other.size_),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

void DataFile::check_size(std::uint64_t expected, const std::string& what) const {
  if (size_ == expected) return;
  throw UsageError("task {}: '{}' has {} bytes; {} has {}: the file is {}; {}", task_, path_.string(), size_, what,
                   expected, size_ < expected ? "truncated" : "another one", advice_);
}

void DataFile::read(std::uint64_t offset, std::span<std::uint8_t> bytes) const {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto got = ::pread(descriptor_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error("task {}: cannot read '{}': {}", task_, path_.string(), std::strerror(errno));
    if (got == 0) {
      throw Error(
          "task {}: '{}' ends at byte {}; it had {} bytes when it was opened, do not change it while it is used", task_,
          path_.string(), offset + done, size_);
    }
    done += static_cast<std::size_t>(got);
  }
}

}  // namespace zoo
