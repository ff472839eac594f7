#include "zoo/io/atomic_file.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "tests/cli/command.h"
#include "zoo/core/error.h"

namespace zoo {
namespace {

namespace fs = std::filesystem;
using test::read_file;
using test::TemporaryDirectory;
using test::write_file;
using testing::AllOf;
using testing::HasSubstr;

std::size_t files_in(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

std::string failure(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(AtomicFile, WritesANewFile) {
  const TemporaryDirectory folder;
  write_file_atomically(folder / "new", "text");
  EXPECT_EQ(read_file(folder / "new"), "text");
  EXPECT_EQ(files_in(folder.path()), 1u);
  write_file_atomically(folder / "empty", "");
  EXPECT_EQ(read_file(folder / "empty"), "");
}

TEST(AtomicFile, ReplacesOnlyAtCommit) {
  const TemporaryDirectory folder;
  write_file(folder / "file", "old");
  AtomicFile file(folder / "file");
  file.write("ne");
  file.write("w");
  EXPECT_EQ(read_file(folder / "file"), "old");
  file.commit();
  EXPECT_EQ(read_file(folder / "file"), "new");
  EXPECT_EQ(files_in(folder.path()), 1u);
  EXPECT_THROW(file.write("more"), Error);
  EXPECT_THROW(file.commit(), Error);
}

TEST(AtomicFile, LeavesNothingBehindWithoutCommit) {
  const TemporaryDirectory folder;
  write_file(folder / "file", "old");
  const auto interrupted = [](AtomicFile& file) {
    file.write("half");
    throw std::runtime_error("interrupted");
  };
  EXPECT_THROW(write_file_atomically(folder / "file", interrupted), std::runtime_error);
  EXPECT_EQ(read_file(folder / "file"), "old");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(AtomicFile, WritersOfOnePathDoNotMix) {
  const TemporaryDirectory folder;
  AtomicFile first(folder / "file"), second(folder / "file");
  first.write("first");
  second.write("second");
  second.commit();
  EXPECT_EQ(read_file(folder / "file"), "second");
  first.commit();
  EXPECT_EQ(read_file(folder / "file"), "first");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(AtomicFile, KeepsPermissionsAndGivesNewFilesTheUsualOnes) {
  const TemporaryDirectory folder;
  const mode_t mask = ::umask(027);
  write_file_atomically(folder / "new", "text");
  ::umask(mask);
  EXPECT_EQ(fs::status(folder / "new").permissions(), fs::perms(0640));
  fs::permissions(folder / "new", fs::perms(0604));
  write_file_atomically(folder / "new", "again");
  EXPECT_EQ(fs::status(folder / "new").permissions(), fs::perms(0604));
}

TEST(AtomicFile, FollowsSymbolicLinks) {
  const TemporaryDirectory folder;
  fs::create_directory(folder / "other");
  fs::create_symlink("other/target", folder / "link");
  write_file_atomically(folder / "link", "one");  // there is no target yet
  write_file_atomically(folder / "link", "two");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(read_file(folder / "other/target"), "two");
  EXPECT_EQ(files_in(folder / "other"), 1u);
  fs::create_symlink("circle", folder / "circle");
  EXPECT_THAT(failure([&] { AtomicFile file(folder / "circle"); }), HasSubstr("Too many levels of symbolic links"));
}

TEST(AtomicFile, NamesThePathThatCannotBeWritten) {
  const TemporaryDirectory folder;
  for (const auto& [path, reason] :
       std::vector<std::pair<std::string, std::string>>{{folder / "missing/file", "No such file or directory"},
                                                        {folder.path().string(), "Is a directory"},
                                                        {folder / "missing/", "Is a directory"},
                                                        {folder / std::string(300, 'n'), "File name too long"},
                                                        {"", "No such file or directory"}}) {
    EXPECT_THAT(failure([target = path] { write_file_atomically(target, "text"); }),
                AllOf(HasSubstr("cannot write '" + path + "'"), HasSubstr(reason)));
  }
  EXPECT_EQ(files_in(folder.path()), 0u);
}

// Root may write everywhere, so while one of these lives it acts as somebody else, to whom the folder is given.
class Unprivileged {
 public:
  explicit Unprivileged(const fs::path& folder) {
    if (!was_root_) return;
    constexpr uid_t nobody = 65534;
    acts_ = ::chown(folder.c_str(), nobody, static_cast<gid_t>(-1)) == 0 && ::seteuid(nobody) == 0;
  }
  ~Unprivileged() {
    if (was_root_ && acts_) (void)!::seteuid(0);
  }
  bool holds() const { return acts_; }

 private:
  bool was_root_ = ::geteuid() == 0;
  bool acts_ = true;
};

TEST(AtomicFile, ReadOnlyFoldersAndFilesAreErrors) {
  const TemporaryDirectory folder;
  const Unprivileged somebody(folder.path());
  if (!somebody.holds()) GTEST_SKIP() << "root may write everywhere, and cannot act as somebody else here";
  write_file(folder / "file", "old");
  fs::permissions(folder / "file", fs::perms(0444));
  EXPECT_THAT(failure([&] { write_file_atomically(folder / "file", "new"); }), HasSubstr("Permission denied"));
  EXPECT_EQ(read_file(folder / "file"), "old");
  fs::permissions(folder.path(), fs::perms(0555));
  EXPECT_THAT(failure([&] { write_file_atomically(folder / "other", "new"); }), HasSubstr("Permission denied"));
  fs::permissions(folder.path(), fs::perms(0755));
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(AtomicFile, DevicesAreWrittenNotReplaced) {
  write_file_atomically("/dev/null", "text");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_THAT(failure([] { write_file_atomically("/dev/full", "text"); }),
              AllOf(HasSubstr("cannot write '/dev/full'"), HasSubstr("No space left on device")));
  EXPECT_THAT(failure([] { write_file_atomically("/dev/full", std::string(1 << 20, ' ')); }),
              HasSubstr("No space left on device"));
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

// A disk that is full after 4 KiB, to this process and while one of these lives: the limit on the size of files.
class FullDisk {
 public:
  FullDisk() : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &limit_);
    const rlimit small{4096, limit_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &limit_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit limit_{};
};

TEST(AtomicFile, AFullDiskLeavesTheOldFileAndNothingElse) {
  const TemporaryDirectory folder;
  write_file(folder / "file", "old");
  std::string found_at_commit, found_while_writing;
  {
    const FullDisk full;
    found_at_commit = failure([&] { write_file_atomically(folder / "file", std::string(4097, ' ')); });
    found_while_writing = failure([&] { write_file_atomically(folder / "file", std::string(1 << 20, ' ')); });
  }
  for (const std::string& message : {found_at_commit, found_while_writing}) {
    EXPECT_THAT(message, AllOf(HasSubstr("cannot write '" + (folder / "file") + "'"), HasSubstr("File too large")));
  }
  EXPECT_EQ(read_file(folder / "file"), "old");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

}  // namespace
}  // namespace zoo
