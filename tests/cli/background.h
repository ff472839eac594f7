#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/cli/small_sweep.h"
#include "zoo/core/error.h"

namespace zoo::test {

// A `zoo` at work that this test can send signals to.
class Background {
 public:
  explicit Background(const Arguments& arguments, const std::string& errors)
      : Background(ZOO_COMMAND, arguments, errors) {}
  // Another program, such as mpirun.
  Background(const std::string& program, const Arguments& arguments, const std::string& errors) : errors_(errors) {
    Arguments words = Arguments{program} + arguments;
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    const int failure = posix_spawn(&process_, pointers[0], &actions, nullptr, pointers.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failure != 0) throw Error("cannot start {}", words[0]);
  }
  ~Background() {
    if (process_ < 0) return;
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  void send(int signal) const { kill(process_, signal); }
  // Its exit code, or minus the signal that ended it.
  int wait() {
    int status = 0;
    waitpid(std::exchange(process_, -1), &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }
  std::vector<pid_t> children() const {
    const std::string process = std::to_string(process_);
    std::ifstream file("/proc/" + process + "/task/" + process + "/children");
    std::vector<pid_t> all;
    for (pid_t child; file >> child;) all.push_back(child);
    return all;
  }
  std::string errors() const { return read_file(errors_); }

 private:
  std::string errors_;
  pid_t process_ = -1;
};

// Waits for something to be so; false when it is not within the time limit.
template <typename Condition>
inline bool wait_for(const Condition& condition) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > limit) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

inline bool has_checkpoint(const std::string& store) {
  const std::filesystem::path folder = store + ".checkpoints";
  std::error_code none;
  return std::ranges::any_of(
      std::filesystem::directory_iterator(folder, none),
      [](const std::filesystem::directory_entry& entry) { return entry.path().extension() == ".safetensors"; });
}

}  // namespace zoo::test
