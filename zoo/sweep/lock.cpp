#include "zoo/sweep/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "zoo/core/error.h"

namespace zoo {

StoreLock::StoreLock(const std::string& store_path) {
  const std::string path = store_path + ".lock";
  file_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file_ < 0) {
    throw UsageError("cannot write '{}': {}; choose a store in a folder that you can write to", path,
                     std::strerror(errno));
  }
  if (flock(file_, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    [[maybe_unused]] const ssize_t length = read(file_, holder, sizeof holder - 1);
    close(file_);
    throw UsageError("another sweep (process {}) is writing '{}'; wait for it, or give another --store", holder,
                     store_path);
  }
  // Who holds it is told to others as a courtesy; the lock holds without.
  const std::string process = std::to_string(getpid());
  if (ftruncate(file_, 0) == 0) {
    [[maybe_unused]] const ssize_t written = write(file_, process.data(), process.size());
  }
}

StoreLock::~StoreLock() {
  close(file_);
}

}  // namespace zoo
