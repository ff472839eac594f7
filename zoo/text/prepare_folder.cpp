#include "zoo/text/prepare_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "zoo/core/error.h"
#include "zoo/text/corpus_file.h"
#include "zoo/text/prepare_state.h"
#include "zoo/text/tokenizer_file.h"

namespace zoo {

namespace fs = std::filesystem;

namespace {

// What an AtomicFile leaves behind when its process is killed.
bool is_leftover(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(".zoo-") && name.ends_with(".tmp");
}

}  // namespace

PrepareFolder::PrepareFolder(const std::string& path) : path_(path) {
  if (path.empty()) throw UsageError("--out needs the name of a folder");
  std::error_code error;
  is_new_ = fs::create_directories(path, error);
  if (error) throw UsageError("cannot make the folder '{}': {}; give another --out", path, error.message());
  lock_ = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0) {
    throw UsageError("cannot use '{}' as a folder: {}; give another --out", path,
                     std::generic_category().message(errno));
  }
  try {
    if (::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      throw UsageError("another zoo lm prepare is at work in '{}'; wait for it, or give another --out", path);
    }
    check_content();
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

PrepareFolder::~PrepareFolder() {
  std::error_code ignored;
  if (is_new_ && !is_kept_) fs::remove(path_, ignored);
  ::close(lock_);
}

void PrepareFolder::check_content() const {
  const fs::path folder = path_;
  const bool is_begun = fs::exists(folder / prepare_file_name);
  if (!is_begun && is_finished()) {
    throw UsageError("'{}' holds a corpus without its {}, which tells what it was made of; give another --out", path_,
                     prepare_file_name);
  }
  std::vector<fs::path> leftovers;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (is_leftover(entry.path())) {
      leftovers.push_back(entry.path());
    } else if (!is_begun) {
      throw UsageError("'{}' is not empty, and what is in it ('{}') is no corpus; give another --out", path_,
                       entry.path().filename().string());
    }
  }
  std::error_code ignored;
  for (const fs::path& leftover : leftovers) fs::remove(leftover, ignored);
}

bool PrepareFolder::is_finished() const {
  return fs::exists(fs::path(path_) / corpus_file_name);
}

void PrepareFolder::forget_record() {
  if (fs::exists(fs::path(path_) / tokenizer_file_name)) return;
  std::error_code ignored;
  fs::remove(fs::path(path_) / prepare_file_name, ignored);
  is_kept_ = false;
}

void PrepareFolder::remove_progress() const {
  std::error_code ignored;
  fs::remove(fs::path(path_) / progress_file_name, ignored);
}

void check_settings(const std::map<std::string, std::string>& begun, const std::map<std::string, std::string>& given,
                    const std::string& folder) {
  const auto shown = [](const std::map<std::string, std::string>& settings, const std::string& name) {
    const auto found = settings.find(name);
    return found == settings.end() ? "none" : "'" + found->second + "'";
  };
  std::map<std::string, std::string> all = begun;
  all.insert(given.begin(), given.end());
  for (const auto& [name, value] : all) {
    if (shown(begun, name) == shown(given, name)) continue;
    throw UsageError("'{}' was begun with --{} {}, and {} is given; give the same, or another --out", folder, name,
                     shown(begun, name), shown(given, name));
  }
}

}  // namespace zoo
