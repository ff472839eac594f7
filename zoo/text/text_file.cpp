#include "zoo/text/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "zoo/core/error.h"

namespace zoo {

// O_NONBLOCK: a named pipe that nobody writes to is refused rather than waited for. It has no effect on regular files.
TextFile::TextFile(const std::string& path)
    : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (descriptor_ < 0) throw UsageError("cannot read '{}': {}", path, std::generic_category().message(errno));
  struct stat status {};
  std::string problem;
  if (::fstat(descriptor_, &status) != 0) {
    problem = std::generic_category().message(errno);
  } else if (S_ISDIR(status.st_mode)) {
    problem = "it is a folder; give the files in it, as in " + path + "/*.txt";
  } else if (!S_ISREG(status.st_mode)) {
    problem = "it is not a regular file, and text is read twice; save it to a file first";
  }
  if (!problem.empty()) {
    ::close(descriptor_);
    throw UsageError("cannot read '{}': {}", path, problem);
  }
  size_ = status.st_size;
  changed_ = std::max<std::int64_t>(0, std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec);
}

TextFile::~TextFile() {
  ::close(descriptor_);
}

std::size_t TextFile::read(std::int64_t offset, std::span<char> block) const {
  std::size_t filled = 0;
  while (filled < block.size()) {
    const ssize_t got = ::pread(descriptor_, block.data() + filled, block.size() - filled,
                                static_cast<off_t>(offset) + static_cast<off_t>(filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error("cannot read '{}': {}", path_, std::generic_category().message(errno));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  return filled;
}

}  // namespace zoo
