#include "zoo/sweep/spawn.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "zoo/core/error.h"
#include "zoo/sweep/worker.h"

namespace zoo {

namespace {

// Both ends of a pipe, closed again unless released.
class Pipe {
 public:
  Pipe() {
    if (pipe2(ends_.data(), O_CLOEXEC) != 0) throw Error("cannot make a pipe to a worker: {}", std::strerror(errno));
    // Numbers above those that the child's own files will get, so that placing one does not close another.
    for (int& end : ends_) {
      const int moved = fcntl(end, F_DUPFD_CLOEXEC, 16);
      if (moved < 0) throw Error("cannot make a pipe to a worker: {}", std::strerror(errno));
      close(std::exchange(end, moved));
    }
  }
  ~Pipe() {
    for (const int end : ends_) {
      if (end >= 0) close(end);
    }
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int read_end() const { return ends_[0]; }
  int write_end() const { return ends_[1]; }
  int release_read_end() { return std::exchange(ends_[0], -1); }
  int release_write_end() { return std::exchange(ends_[1], -1); }

 private:
  std::array<int, 2> ends_{-1, -1};
};

// What the child does between fork and exec: system calls only, since another thread may hold any lock.
[[noreturn]] void become(const std::vector<char*>& arguments, const std::vector<char*>& environment, pid_t parent,
                         int input, int records, int errors, const cpu_set_t* cores) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // the parent died before the line above
  setpgid(0, 0);                        // out of the terminal's foreground group: Ctrl-C is the parent's to handle
  if (cores != nullptr) sched_setaffinity(0, sizeof *cores, cores);
  signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(input, STDIN_FILENO);
  dup2(errors, STDOUT_FILENO);
  dup2(errors, STDERR_FILENO);
  dup2(records, worker_record_fd);
  execve(arguments[0], arguments.data(), environment.data());
  constexpr char message[] = "the worker's program could not be started\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, message, sizeof message - 1);
  _exit(127);
}

// Pointers to the texts, then a null pointer, as exec wants them.
std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

}  // namespace

Child spawn(const std::vector<std::string>& command, int core) {
  std::vector<std::string> arguments = command;
  std::vector<std::string> variables = {"OMP_NUM_THREADS=1"};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "OMP_NUM_THREADS=", 16) != 0) variables.emplace_back(*variable);
  }
  const std::vector<char*> argument_pointers = pointers(arguments);
  const std::vector<char*> variable_pointers = pointers(variables);
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (core >= 0) CPU_SET(static_cast<std::size_t>(core), &cores);

  Pipe input;
  Pipe records;
  Pipe errors;
  const pid_t parent = getpid();
  const pid_t process = fork();
  if (process < 0) throw Error("cannot start a worker process: {}", std::strerror(errno));
  if (process == 0) {
    become(argument_pointers, variable_pointers, parent, input.read_end(), records.write_end(), errors.write_end(),
           core >= 0 ? &cores : nullptr);
  }
  for (const int end : {records.read_end(), errors.read_end()}) fcntl(end, F_SETFL, O_NONBLOCK);
  return {.process = process,
          .input = input.release_write_end(),
          .records = records.release_read_end(),
          .errors = errors.release_read_end()};
}

std::string describe_exit(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int signal = WTERMSIG(wait_status);
    const char* hint = signal == SIGKILL ? "; the system may be out of memory" : "";
    return fmt::format("was killed by signal {} ({}{})", signal, strsignal(signal), hint);
  }
  return fmt::format("exited with code {}", WEXITSTATUS(wait_status));
}

}  // namespace zoo
