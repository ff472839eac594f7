#include "zoo/io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>

#include "zoo/core/error.h"

namespace zoo {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, int error) {
  throw Error("cannot write '{}': {}", path.string(), std::generic_category().message(error));
}

// Where a chain of symbolic links ends, whether or not there is a file there yet.
fs::path follow_links(const fs::path& path) {
  fs::path target = path;
  std::error_code error;
  for (int links = 0; fs::is_symlink(target, error); ++links) {
    if (links == 40) fail(path, ELOOP);
    const fs::path next = fs::read_symlink(target, error);
    if (error) fail(path, error.value());
    target = next.is_absolute() ? next : target.parent_path() / next;
  }
  return target;
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// A new file in the folder, named by process and count so that writers of one path never share one.
int open_temporary(const fs::path& folder, mode_t mode, fs::path& name) {
  static std::atomic<unsigned> count{0};
  for (;;) {
    name = folder / fmt::format(".zoo-{}-{}.tmp", ::getpid(), count++);
    const int descriptor = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (descriptor >= 0 || errno != EEXIST) return descriptor;
  }
}

// A rename is on the disk once its folder is. Some file systems cannot sync a folder; the rename itself stands.
void sync_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

AtomicFile::AtomicFile(const fs::path& path) : path_(path), target_(follow_links(path)) {
  struct stat status {};
  const bool exists = ::stat(target_.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) fail(path_, EISDIR);
  if (target_.filename().empty()) fail(path_, path_.empty() ? ENOENT : EISDIR);
  int descriptor = -1;
  if (exists && !S_ISREG(status.st_mode)) {
    descriptor = ::open(target_.c_str(), O_WRONLY | O_CLOEXEC);
  } else {
    if (exists && ::faccessat(AT_FDCWD, target_.c_str(), W_OK, AT_EACCESS) != 0) fail(path_, errno);
    descriptor = open_temporary(folder_of(target_), 0666, temporary_);
    if (descriptor >= 0 && exists) (void)!::fchmod(descriptor, status.st_mode & 07777);
  }
  if (descriptor < 0) {
    const int error = errno;
    temporary_.clear();
    fail(path_, error);
  }
  file_.reset(::fdopen(descriptor, "wb"));
  if (!file_) {
    const int error = errno;
    ::close(descriptor);
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
    fail(path_, error);
  }
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  if (!file_) throw Error("'{}' was written to after it was committed", path_.string());
  if (bytes.empty()) return;  // data() may be null
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) fail(path_, errno);
}

void AtomicFile::commit() {
  if (!file_) throw Error("'{}' was committed twice", path_.string());
  if (std::fflush(file_.get()) != 0) fail(path_, errno);
  if (!temporary_.empty() && ::fsync(::fileno(file_.get())) != 0) fail(path_, errno);
  // Closing can report what a network file system found only now.
  if (std::fclose(file_.release()) != 0) fail(path_, errno);
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail(path_, errno);
  temporary_.clear();
  sync_folder(folder_of(target_));
}

void write_file_atomically(const fs::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file_atomically(const fs::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

void write_file_atomically(const fs::path& path, const std::function<void(AtomicFile&)>& write) {
  AtomicFile file(path);
  write(file);
  file.commit();
}

}  // namespace zoo
