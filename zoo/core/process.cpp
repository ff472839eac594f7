#include "zoo/core/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "zoo/core/error.h"

namespace zoo {

namespace {

using Clock = std::chrono::steady_clock;

class FileDescriptor {
 public:
  explicit FileDescriptor(int descriptor = -1) : descriptor_(descriptor) {}
  FileDescriptor(FileDescriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~FileDescriptor() { close(); }
  void close() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

struct Pipe {
  FileDescriptor read_end, write_end;
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw Error("cannot make a pipe: {}", std::strerror(errno));
    read_end = FileDescriptor(ends[0]);
    write_end = FileDescriptor(ends[1]);
  }
};

/// The standard input: an unlinked file, so that a program that does not read it blocks nobody.
FileDescriptor input_file(const std::string& content) {
  if (content.empty()) return FileDescriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  FileDescriptor file(::memfd_create("input", MFD_CLOEXEC));
  for (std::size_t written = 0; written < content.size();) {
    const ssize_t count = ::write(file.get(), content.data() + written, content.size() - written);
    if (count <= 0) throw Error("cannot prepare a program's input: {}", std::strerror(errno));
    written += static_cast<std::size_t>(count);
  }
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

std::vector<std::string> merged_environment(const std::vector<std::string>& changes) {
  std::vector<std::string> all = changes;
  const auto changed = [&](std::string_view entry) {
    const std::string_view name = entry.substr(0, entry.find('='));
    return std::ranges::any_of(changes, [&](std::string_view change) {
      return change.size() > name.size() && change.starts_with(name) && change[name.size()] == '=';
    });
  };
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!changed(*entry)) all.emplace_back(*entry);
  }
  return all;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (const std::string& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  all.push_back(nullptr);
  return all;
}

pid_t spawn(const ProcessRequest& request, int input, int output, int error) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, error, STDERR_FILENO);
  if (!request.directory.empty()) posix_spawn_file_actions_addchdir_np(&actions, request.directory.c_str());
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);

  const std::vector<std::string> environment = merged_environment(request.environment);
  pid_t child = -1;
  const int failure = posix_spawnp(&child, request.arguments.at(0).c_str(), &actions, &attributes,
                                   pointers(request.arguments).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failure != 0) throw Error("cannot start '{}': {}", request.arguments[0], std::strerror(failure));
  return child;
}

/// Reads what is there; closes the end at the end of the stream.
void drain(FileDescriptor& end, std::string& text, std::size_t limit) {
  std::array<char, 65536> block;
  const ssize_t count = ::read(end.get(), block.data(), block.size());
  if (count > 0) {
    text.append(block.data(), static_cast<std::size_t>(count));
    if (text.size() > 2 * limit) text.erase(0, text.size() - limit);
  } else if (count == 0 || errno != EINTR) {
    end.close();
  }
}

}  // namespace

ProcessResult run_process(const ProcessRequest& request) {
  Pipe output;
  Pipe error;
  const FileDescriptor input = input_file(request.input);
  const pid_t child = spawn(request, input.get(), output.write_end.get(), error.write_end.get());
  output.write_end.close();
  error.write_end.close();

  ProcessResult result;
  const auto deadline = Clock::now() + request.time_limit.value_or(std::chrono::hours(24 * 365));
  int status = 0;
  bool ended = false;
  // A process that it started may hold the pipes open for long, so its own end is what counts.
  for (bool more = true; more;) {
    if (!ended && ::waitpid(child, &status, WNOHANG) == child) ended = true;
    if (!ended && Clock::now() >= deadline) {
      result.timed_out = true;
      ::kill(-child, SIGKILL);
      ::waitpid(child, &status, 0);
      ended = true;
    }
    std::array<pollfd, 2> waiting = {{{output.read_end.get(), POLLIN, 0}, {error.read_end.get(), POLLIN, 0}}};
    ::poll(waiting.data(), waiting.size(), ended ? 0 : 10);
    more = !ended;
    if (waiting[0].revents != 0) drain(output.read_end, result.output, request.output_limit), more = true;
    if (waiting[1].revents != 0) drain(error.read_end, result.error, request.output_limit), more = true;
  }
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  for (std::string* text : {&result.output, &result.error}) {
    if (text->size() > request.output_limit) text->erase(0, text->size() - request.output_limit);
  }
  return result;
}

}  // namespace zoo
